"""A network of the user's own in the place of a preset's: how it trains, what it can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from byheart.errors import InputError
from byheart.studies.base import Claim, Setting, Study
from byheart.studies.settings import Preset
from byheart.trial import Foreign, FrozenModel

if TYPE_CHECKING:
    from byheart.networks.examine import Examined


TWICE = ("sensitivity", "sharpness")
"""Probes that take a second derivative."""


@dataclass(frozen=True)
class OwnNetwork:
    """What a reader should know of a user's network.

    Attributes:
        about: its name, its size, what it takes, and how its replicas train, in a sentence.
        left_out: the claims that it cannot decide, each with what they need.
    """

    about: str
    left_out: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return what a user should read: how it trains, and which claims it cannot decide."""
        needs: dict[str, list[str]] = {}
        for claim, need in self.left_out.items():
            needs.setdefault(need, []).append(claim)
        left_out = (f"left out, since they need {n}: {', '.join(c)}" for n, c in needs.items())
        return [self.about, *left_out]

    def also_without(self, left_out: Mapping[str, str]) -> OwnNetwork:
        """Return these facts with further claims that the network cannot decide."""
        return replace(self, left_out={**left_out, **self.left_out})


def examined(factory: str, shape: tuple[int, ...], classes: int) -> tuple[Foreign, str]:
    """Try a user's network, and return its facts and a sentence about it.

    Raises:
        InputError: it cannot be trained as it is.
    """
    # Only here: importing the user's module runs its code, and torch comes along.
    from byheart.networks.examine import examine

    network = examine(factory, shape, classes)
    return Foreign(factory=factory, fingerprint=network.fingerprint), _about(factory, network)


def _about(factory: str, network: Examined) -> str:
    together = "together, by torch.func.vmap"
    how = together if network.way == "vmap" else f"one by one: not by vmap, since {network.reason}"
    takes = ", ".join(["N", *map(str, network.takes)])
    parameters = f"{network.size.parameters:,} trained parameters"
    return f"{factory}: {parameters}, inputs [{takes}]; its replicas train {how}"


def require_decidable(claims: Sequence[Claim]) -> None:
    """Require that claims that were asked for by name can be decided on any network.

    Raises:
        InputError: one of them needs more.
    """
    for claim in claims:
        if claim.needs:
            raise InputError(
                f"claim '{claim.id}' needs {claim.needs}, which --model does not offer: leave it "
                "out, or study it without --model"
            )


def unmet(studies: Sequence[Study], setting: Setting) -> dict[str, str]:
    """Return the claims that a user's network cannot decide, each with what they need.

    Some declare what they need. What others need is tried: data of another shape (averaged pixels,
    a class for every example), or a second derivative.
    """
    lacking: dict[str, str] = {}
    for study in studies:
        open_ = [claim for claim in study.claims if not claim.needs]
        need = _need(study, setting) if open_ else ""
        lacking |= {claim.id: claim.needs or need for claim in study.claims}
    return {claim: need for claim, need in lacking.items() if need}


def _need(study: Study, setting: Setting) -> str:
    """Return what a study's trials want of the network that it does not do; empty if nothing."""
    from byheart.networks.examine import examine

    assert setting.model is not None
    data = setting.data
    for trial in study.plan(setting):
        shape, classes = trial.data.seen_shape(data.shape), trial.data.outputs(len(data.classes))
        try:
            network = examine(setting.model.factory, shape, classes)
        except InputError:
            if shape == data.shape:
                return f"a network with {classes} outputs"
            return f"a network for inputs [{', '.join(map(str, shape))}] and {classes} classes"
        if network.curvature and any(probe.name in TWICE for probe in trial.probes):
            return f"a gradient that can be differentiated once more ({network.curvature})"
    return ""


def with_learning_rate(preset: Preset, rate: float) -> Preset:
    """Return a preset whose every study trains at one learning rate.

    Raises:
        InputError: the rate is not positive.
    """
    if not 0 < rate < float("inf"):
        raise InputError(f"--learning-rate is {rate:g}: give a positive number")
    update = {}
    for name in type(preset).model_fields:
        setting = getattr(preset, name)
        if isinstance(setting, FrozenModel):
            fields = type(setting).model_fields
            rates = {field: rate for field in fields if field.endswith("learning_rate")}
            update[name] = setting.model_copy(update=rates)
    return preset.model_copy(update=update)
