"""Sharpness of the networks of a pack that end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from byheart.measures.online_sharpness import pack_online_sharpness
from byheart.measures.sharpness import pack_sharpness
from byheart.measures.training_loss import PackData
from byheart.networks.base import PackNetwork
from byheart.training.examples import Examples
from byheart.trial import SharpnessProbe


def measure_sharpness(
    probe: SharpnessProbe, network: PackNetwork, examples: Examples
) -> dict[str, NDArray[np.generic]]:
    """Return what the probe measures on each replica, with its whole training set.

    An eigenvalue whose residual did not come within the tolerance is NaN; its residual is kept.
    """
    data = PackData(examples.pool, examples.train_rows, examples.train_y)
    plain, relative = (
        pack_sharpness(
            network,
            data,
            tolerance=probe.tolerance,
            max_iterations=probe.max_iterations,
            scale_invariant=scale_invariant,
        )
        for scale_invariant in (False, True)
    )
    measured: dict[str, NDArray[np.generic]] = {
        "eigenvalue": np.where(plain.converged, plain.eigenvalue, np.nan),
        "residual": plain.residual,
        "iterations": plain.iterations,
        "scale_invariant": np.where(relative.converged, relative.eigenvalue, np.nan),
        "scale_invariant_residual": relative.residual,
        "scale_invariant_iterations": relative.iterations,
    }
    if probe.online_iterations:
        measured["online"] = pack_online_sharpness(
            network,
            data,
            iterations=probe.online_iterations,
            batch_size=probe.online_batch_size,
        )[-1]
    return measured
