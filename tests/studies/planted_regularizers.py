"""Records of Figures 10 and 11 in which the regularizers do what was put in."""

from __future__ import annotations

import numpy as np
from tests.studies.simulated import changed

from byheart.record import Record
from byheart.trial import Trial

EPOCHS = 14
"""The budget by which these trials are known in the tiny preset."""

STRENGTHS = (
    "adversarial_weight", "dropout", "input_dropout", "input_noise", "hidden_noise", "weight_decay",
)  # fmt: skip
DROPS = dict(zip(STRENGTHS, (0.7, 0.5, 0.15, 0.18, 0.21, 0.25), strict=True))
ORDER = sorted(STRENGTHS, key=lambda name: DROPS[name])


def regularized(record: Record, trial: Trial, rng: np.random.Generator, sign: int) -> Record:
    """Let regularizers hinder memorization, dropout most; or further it, dropout most of all.

    With ``sign`` 1 the training curves on real data are in the opposite order of those on random
    labels, with -1 in the same.
    """
    used = next((name for name in STRENGTHS if getattr(trial.algorithm, name)), None)
    drop = 0.0 if used is None else sign * DROPS[used]
    end = (0.9 if sign > 0 else 0.2) - drop
    if not trial.data.labels:
        height = 0 if used is None else ORDER.index(used)
        end = 0.6 + 0.05 * height
    growth = np.linspace(0.5, 1, len(record.arrays["accuracy.epoch"]))
    # Validation is harmed by no strength, clearly enough for the six seeds that choose one.
    noise = rng.normal(0, (0.005, 0.002), (len(growth), 2)).T
    return changed(
        record, accuracy_train=end * growth + noise[0], accuracy_validation=0.7 + noise[1]
    )
