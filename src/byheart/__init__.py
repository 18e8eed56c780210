"""Does your network know its training data by heart? Memorization in deep networks, measured."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from byheart.version import __version__

if TYPE_CHECKING:
    from byheart.advising.advise import Advice, advise
    from byheart.auditing.adapters.indexed import IndexedDataset
    from byheart.auditing.audit import Audit
    from byheart.auditing.calibration import Calibration, calibrate
    from byheart.auditing.planting import Planted, plant
    from byheart.auditing.run import audit
    from byheart.auditing.tracker import Tracker
    from byheart.data import Dataset, corrupt, load_dataset
    from byheart.measures.critical.single import critical_samples
    from byheart.measures.online_sharpness import online_sharpness
    from byheart.measures.sensitivity import loss_sensitivity
    from byheart.measures.sharpness import sharpness
    from byheart.measures.spectrum import hessian_density, hessian_trace
    from byheart.statistics.gini import gini
    from byheart.studying import Findings, study
    from byheart.training.features import features
    from byheart.training.recipe import Recipe

__all__ = [
    "Advice",
    "Audit",
    "Calibration",
    "Dataset",
    "Findings",
    "IndexedDataset",
    "Planted",
    "Recipe",
    "Tracker",
    "__version__",
    "advise",
    "audit",
    "calibrate",
    "corrupt",
    "critical_samples",
    "features",
    "gini",
    "hessian_density",
    "hessian_trace",
    "load_dataset",
    "loss_sensitivity",
    "online_sharpness",
    "plant",
    "sharpness",
    "study",
]

_HOMES = {
    "Advice": "byheart.advising.advise",
    "Audit": "byheart.auditing.audit",
    "Calibration": "byheart.auditing.calibration",
    "Dataset": "byheart.data",
    "Findings": "byheart.studying",
    "IndexedDataset": "byheart.auditing.adapters.indexed",
    "Planted": "byheart.auditing.planting",
    "Recipe": "byheart.training.recipe",
    "Tracker": "byheart.auditing.tracker",
    "advise": "byheart.advising.advise",
    "audit": "byheart.auditing.run",
    "calibrate": "byheart.auditing.calibration",
    "corrupt": "byheart.data",
    "features": "byheart.training.features",
    "load_dataset": "byheart.data",
    "critical_samples": "byheart.measures.critical.single",
    "gini": "byheart.statistics.gini",
    "hessian_density": "byheart.measures.spectrum",
    "hessian_trace": "byheart.measures.spectrum",
    "loss_sensitivity": "byheart.measures.sensitivity",
    "online_sharpness": "byheart.measures.online_sharpness",
    "plant": "byheart.auditing.planting",
    "sharpness": "byheart.measures.sharpness",
    "study": "byheart.studying",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `byheart claims` should not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'byheart' has no attribute '{name}'")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *_HOMES})
