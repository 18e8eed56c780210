"""The regularizers that advice compares."""

from __future__ import annotations

from collections.abc import Sequence

from byheart.errors import InputError, choose
from byheart.training.regularizers.adversarial import DropoutAdversarial
from byheart.training.regularizers.augmentation import Cutout, Flip, Shift
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.losses import (
    EarlyLearning,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    Mixup,
)
from byheart.training.regularizers.noise import Dropout, HiddenNoise, InputDropout, InputNoise
from byheart.training.regularizers.updates import (
    EarlyStopping,
    GradientClipping,
    SharpnessAware,
    WeightDecay,
)

REGULARIZERS: tuple[type[Regularizer], ...] = (
    Dropout,
    InputDropout,
    InputNoise,
    HiddenNoise,
    WeightDecay,
    DropoutAdversarial,
    LabelSmoothing,
    Mixup,
    EarlyStopping,
    SharpnessAware,
    EarlyLearning,
    GeneralizedCrossEntropy,
    GradientClipping,
    Shift,
    Flip,
    Cutout,
)

BY_NAME = {kind.name: kind for kind in REGULARIZERS}


def chosen(names: Sequence[str] | None) -> tuple[type[Regularizer], ...]:
    """Return regularizers by name, in the order of the list; all if none is named.

    Raises:
        InputError: there is none of that name, or the list is empty.
    """
    if names is None:
        return REGULARIZERS
    if isinstance(names, str) or not names:
        raise InputError(f"regularizers must be a list of one name or more, got {names!r}")
    wanted = {choose("regularizer", name, BY_NAME) for name in names}
    return tuple(kind for kind in REGULARIZERS if kind.name in wanted)
