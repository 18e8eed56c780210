"""The record of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from byheart.trial import Trial

Outcome = Literal["converged", "budget", "diverged", "failed"]


@dataclass(frozen=True)
class Record:
    """Curves and arrays of one trial, and how it ended.

    Attributes:
        trial: the facts.
        outcome: ``converged`` (reached 100% training accuracy and was asked to stop there),
            ``budget`` (all epochs were spent; censored if convergence was asked for), ``diverged``
            (loss no longer finite) or ``failed`` (see ``reason``; never counts as done).
        epochs: epochs trained: the time to convergence where ``outcome`` is ``converged``.
        arrays: what the probes measured, by name. ``<probe>.epoch`` [C] holds the checkpoints:
            ``accuracy.train``, ``.train_clean``, ``.train_noisy``, ``.validation``, ``.train_loss``
            [C]; ``correct.bits`` [C, ceil(n/8)] uint8 (numpy.packbits), ``correct.label`` [n];
            ``critical.validation`` [C, radii], ``critical.train`` [C, train radii]: the ratio that
            the search found, a lower bound; ``critical.validation_upper``, ``critical.train_upper``
            of the same shapes: the certificate's upper bound, NaN where it was not sought;
            ``critical.uncertified_layer`` uint8, the name in UTF-8 of a layer that has no
            certificate, if there is one: the upper bounds are then 1;
            ``critical.success`` [max_steps + 1, radii] and ``critical.control`` [radii] at the
            last checkpoint; ``filters.weights`` [C, filters, channels, k, k];
            at the end of training, and therefore without [C], ``sharpness.eigenvalue`` and
            ``.scale_invariant`` (NaN if not found to the tolerance), ``.residual``,
            ``.iterations``, ``.scale_invariant_residual``, ``.scale_invariant_iterations``,
            ``.online``, ``.train``, ``.train_loss``;
            ``sensitivity.update`` [E], ``.gini`` [E, 3] of g_bar_x so far in the norms 1, 2, inf,
            ``.mean`` [3, n] g_bar_x of all E times, ``.per_class`` [classes, classes] (rows: class
            of the loss, columns: of the example), ``.loss`` and ``.accuracy`` [E];
            ``.overflow_at``: the first update at which the derivative was too large for the
            numbers used, -1 if none: Gini is NaN from there, and means are over the times before.
        seconds: training time of the pack, shared equally between its replicas.
        threads: CPU threads the pack was trained with.
        device: the device that trained it.
        reason: why it failed.
    """

    trial: Trial
    outcome: Outcome
    epochs: int
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    threads: int = 1
    device: str = "cpu"
    reason: str = ""
