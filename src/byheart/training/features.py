"""``byheart.features``: what a frozen backbone says of each example, computed once."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from byheart.data.dataset import Dataset
from byheart.data.preparation import Preparation
from byheart.data.sources import as_dataset
from byheart.errors import InputError
from byheart.networks.examine import one_line
from byheart.networks.foreign import logits_of
from byheart.training.packs import find_device


@torch.no_grad()
def features(
    backbone: nn.Module,
    dataset: Any,
    *,
    resize: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    progress: bool = True,
) -> Dataset:
    """Return a data set whose inputs are the features of a backbone, to audit a head on them.

    The backbone runs once, in eval mode. Features of several places or tokens, [N, D, H, W] or
    [N, T, D], are averaged over them. Features outside [0, 1] are standardised.

    Args:
        backbone: a module that maps [N, *shape] to features; it stays as it is. If it returns a
            tuple, a dict or an object with ``logits``, its logits or first tensor are taken.
        dataset: the examples with their labels: a :class:`Dataset`, or what
            :func:`byheart.load_dataset` loads without options.
        resize: height and width that images are resized to first, in pixels.
        batch_size: examples per forward pass.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        The data set: inputs [N, D], all else as in ``dataset``; without its test split.

    Raises:
        InputError: a backbone that does not take the inputs, is not deterministic, or returns NaN
            or no features; an argument out of range.
    """
    data: Dataset = as_dataset(dataset)
    if not isinstance(backbone, nn.Module):
        raise InputError(f"backbone is a {type(backbone).__name__}: give a torch.nn.Module")
    if resize is not None and (data.kind != "images" or resize < 1):
        raise InputError(f"resize is a number of pixels for images, got {resize!r}")
    if batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {batch_size!r}")
    place = find_device(device)
    training, home = backbone.training, next(backbone.parameters(), torch.zeros(())).device
    backbone.to(place).eval()
    try:
        batches = torch.split(_inputs(data, resize), batch_size)
        first = _of(backbone, batches[0], resize, place)
        if not torch.equal(first, _of(backbone, batches[0], resize, place)):
            raise InputError("the backbone is not deterministic in eval mode: let its noise end")
        shown = track(
            batches[1:],
            "features",
            console=Console(file=sys.stderr),
            disable=not (progress and sys.stderr.isatty()),
        )
        x = torch.cat([first, *(_of(backbone, batch, resize, place) for batch in shown)])
    finally:
        backbone.to(home).train(training)
    found = Dataset.from_arrays(f"features of {data.name}", x, data.y, data.classes)
    prepared = found.prepared or Preparation("table")
    if data.prepared is not None:
        prepared = replace(prepared, rows=data.prepared.rows, text=data.prepared.text)
    return replace(data, name=found.name, x=found.x, prepared=prepared, test_x=None, test_y=None)


def _inputs(dataset: Dataset, resize: int | None) -> Tensor:
    """Return the inputs; grey images get a channel if they are to be resized."""
    grey = resize is not None and len(dataset.shape) == 2
    return dataset.x.unsqueeze(1) if grey else dataset.x


def _of(backbone: nn.Module, x: Tensor, resize: int | None, device: str) -> Tensor:
    """Return the features [N, D] of a batch, on the CPU."""
    x = x.to(device)
    if resize is not None:
        x = functional.interpolate(x, (resize, resize), mode="bilinear", antialias=True)
    try:
        output = backbone(x)
    except Exception as error:
        raise InputError(
            f"the backbone does not take {list(x.shape)}: {one_line(error)}"
        ) from error
    taken = logits_of(output)
    if not isinstance(taken, Tensor) or taken.dim() < 2 or len(taken) != len(x):
        kind = list(taken.shape) if isinstance(taken, Tensor) else type(taken).__name__
        raise InputError(f"the backbone returns {kind}: it must return features [N, D]")
    if taken.dim() == 3:
        taken = taken.mean(1)
    if taken.dim() > 3:
        taken = taken.flatten(2).mean(2)
    if not bool(torch.isfinite(taken).all()):
        raise InputError("the backbone returns features that are NaN or infinite")
    return taken.float().cpu()
