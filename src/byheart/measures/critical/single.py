"""Critical samples of any PyTorch classifier: the bracket of one network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.critical.bracket import Bracket, Settings
from byheart.measures.critical.lass import ExampleNoise, Noise
from byheart.measures.modules import (
    as_inputs,
    evaluating,
    require_gradients_by_inputs,
    require_logits,
    require_type,
)

PROBED = 64
"""Number of inputs on which the model is evaluated twice."""
WIDE = 20.0
"""Inputs that span more are pixels of 0..255 rather than standardised."""
FINEST = 1e-4
"""A radius below this share of such a range was hardly meant; the default is 1.2e-3 of 0..1."""


@dataclass(frozen=True)
class CriticalSamples:
    """Which samples are critical, as far as the search found.

    Attributes:
        critical: bool [N], a witness was found, projected on the box again and scored again.
        witness: [N, *shape] the witness where ``critical``, else the input itself.
        found_at: int64 [N], iteration at which the search found a witness, 0 for the corners before
            it; -1 where it found none (the proof may have).
        success: [max_steps + 1] fraction of samples that the search found critical by each
            iteration: a flat end says that more iterations would find few more.
        control: fraction found critical by the same search without its gradient; NaN if not asked
            for.
        radius: radius of the box.
        certified: bool [N], proved not critical: no point of the box has another predicted class.
        uncertified_layer: the layer that the proof does not know, if the network has one; then no
            sample is certified. None also if no proof was asked for.
    """

    critical: Tensor
    witness: Tensor
    found_at: Tensor
    success: Tensor
    control: float
    radius: float
    certified: Tensor
    uncertified_layer: str | None

    @property
    def lower(self) -> float:
        """Lower bound of the critical sample ratio: what was found is critical, more may be."""
        return float(self.critical.cpu().double().mean())

    @property
    def upper(self) -> float:
        """Upper bound of the critical sample ratio: what is certified is not critical."""
        return float((~self.certified).cpu().double().mean())


def critical_samples(
    model: nn.Module,
    x: Tensor,
    *,
    radius: float = 0.3 / 255,
    step: float = 0.25 / 255,
    noise: float = 0.2 / 255,
    max_steps: int = 100,
    certify: bool = True,
    splits: int | None = None,
    control: bool = False,
    seed: int = 0,
    batch_size: int = 1024,
) -> CriticalSamples:
    r"""Bracket how many inputs have another predicted class within a box around them.

    Formula: x is critical for f if some x^ with ||x - x^||_inf <= r has
    argmax f(x^) != argmax f(x); only the predicted class counts, never the true one. The search is
    LASS (see :func:`byheart.measures.critical.lass.lass`), after a few corners of the box that the
    margin points to (see :func:`corners`); it proves samples
    critical, never not. The certificate (see
    :func:`byheart.measures.critical.certificate.certificate`) proves samples not critical, and
    finds a few more witnesses. The cheapest way to settle a sample is tried first, and what is
    settled is left alone. What nothing settles is the distance between ``lower`` and ``upper``.

    The model is put into eval mode, submodule by submodule, and left as it was; its parameters and
    the global random state are not touched.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] inputs, in the unit that radius, step and noise are given in.
        radius: r of the box.
        step: alpha, length of a step along the sign of the gradient.
        noise: beta, standard deviation of the noise added to every coordinate at every step.
        max_steps: iteration limit.
        certify: whether to look for proofs that samples are not critical.
        splits: largest number of splits per sample, if a proof is hard. If None, slopes and
            splits cost at most 5% of searching all samples, as counted in passes, and go to the
            samples nearest to a proof first.
        control: whether to search once more without the gradient.
        seed: seed of the noise.
        batch_size: inputs searched together.

    Returns:
        Both bounds and masks, witnesses, the search's own curve and its noise-only control.

    Raises:
        InputError: no input, a setting out of range, a radius larger than the inputs' range, or a
            model whose output is not finite logits [N, classes] or not the same in a second pass.

    Source: A17 section 4.1, Algorithm 1 (r = 0.3, alpha = 0.25, beta = 0.2 on the 0-255 scale).

    Example:
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.eye(2))
        >>> x = torch.tensor([[0.50, 0.49], [0.9, 0.1]])
        >>> found = critical_samples(model, x, radius=0.02, step=0.01, noise=0.005)
        >>> found.critical.tolist(), found.certified.tolist()
        ([True, False], [False, True])
        >>> found.lower, found.upper
        (0.5, 0.5)
    """
    x = as_inputs(x)
    settings = Settings(radius, step, noise, max_steps, batch_size)
    _check(x, settings, splits)
    x = x.detach()
    with evaluating(model):
        network = SingleModel(model)
        require_type(model, x)
        _check_model(network, x[:batch_size])
        with torch.no_grad():
            logits = torch.cat(
                [network(part.unsqueeze(0)) for part in torch.split(x, batch_size)], 1
            )
        if not bool(torch.isfinite(logits).all()):
            raise InputError("the model returns logits that are not finite: check its weights")

        def draw(numbers: Tensor) -> Noise:
            return ExampleNoise(seed, x[numbers], numbers)

        bracket = Bracket(network, x.unsqueeze(0), settings, draw)
        bracket.settle_cheaply(logits, certify=certify, splits=splits)
        bracket.search()
        by_noise = bracket.control() if control else None
    return CriticalSamples(
        critical=bracket.critical[0],
        witness=bracket.witness[0],
        found_at=bracket.found_at[0],
        success=bracket.success[0],
        control=float("nan") if by_noise is None else float(by_noise.double().mean()),
        radius=radius,
        certified=bracket.certified[0],
        uncertified_layer=bracket.uncertified_layer,
    )


def _check_model(classifier: SingleModel, x: Tensor) -> None:
    """Refuse a model that answers differently when asked again, or has no derivative by inputs."""
    probe = x[:PROBED].unsqueeze(0)
    with torch.enable_grad():
        inputs = probe.clone().requires_grad_()
        first = classifier(inputs)
        require_gradients_by_inputs(first, inputs)
    with torch.no_grad():
        first, second = first.detach(), classifier(probe.clone())
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise InputError(
            "the model is not deterministic in eval mode (two passes over the same inputs differ): "
            "switch off what is random in it"
        )


def _check(x: Tensor, settings: Settings, splits: int | None) -> None:
    if x.dim() < 2 or not x.numel() or not x.is_floating_point():
        raise InputError(
            f"x must be floating-point inputs [N, *shape] with N >= 1, got {x.dtype} "
            f"{tuple(x.shape)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    for name in ("radius", "step", "noise"):
        value = getattr(settings, name)
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} must be a number of 0 or more, got {value}")
    # Inputs of one value are no reason to refuse every radius: their scale is at least [0, 1].
    spread = max(1.0, float(x.max()) - float(x.min()))
    if settings.radius > spread:
        raise InputError(
            f"radius must be on the scale of the inputs, which span {spread:g}, got "
            f"{settings.radius:g}: a radius given in pixel values has to be divided by 255"
        )
    if spread > WIDE and 0 < settings.radius < FINEST * spread:
        warnings.warn(
            f"the radius {settings.radius:g} is tiny for inputs that span {spread:g}: for pixels "
            "of 0..255, divide the inputs by 255 or give the radius in pixel values",
            stacklevel=3,
        )
    for name, count, least in (
        ("max_steps", settings.max_steps, 1),
        ("batch_size", settings.batch_size or 0, 1),
        ("splits", splits or 0, 0),
    ):
        if count < least:
            raise InputError(f"{name} must be {least} or more, got {count}")


class SingleModel:
    """One module as a pack of a single replica."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return require_logits(self.model(x[0]), x.shape[1]).unsqueeze(0)

    def select(self, replicas: Tensor) -> SingleModel:
        """Return the one replica there is."""
        del replicas
        return self

    def module(self, replica: int) -> nn.Module:
        """Return the one replica there is."""
        del replica
        return self.model
