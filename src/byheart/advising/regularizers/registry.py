"""Every regularizer there is."""

from __future__ import annotations

from collections.abc import Sequence

from byheart.advising.regularizers.adversarial import DropoutAdversarial
from byheart.advising.regularizers.augmentation import Cutout, Flip, Shift
from byheart.advising.regularizers.base import Regularizer
from byheart.advising.regularizers.early_learning import EarlyLearning
from byheart.advising.regularizers.early_stopping import EarlyStopping
from byheart.advising.regularizers.generalized_cross_entropy import GeneralizedCrossEntropy
from byheart.advising.regularizers.gradient_clipping import GradientClipping
from byheart.advising.regularizers.hidden_noise import Dropout, HiddenNoise
from byheart.advising.regularizers.input_noise import InputDropout, InputNoise
from byheart.advising.regularizers.label_smoothing import LabelSmoothing
from byheart.advising.regularizers.mixup import Mixup
from byheart.advising.regularizers.sharpness_aware import SharpnessAware
from byheart.advising.regularizers.weight_decay import WeightDecay
from byheart.errors import InputError, choose

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

BY_NAME = {one.name: one for one in REGULARIZERS}


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
    return tuple(one for one in REGULARIZERS if one.name in wanted)
