"""The code that an advice gives to paste: a whole training loop in plain PyTorch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import LearningTask, Snippet


def training_code(snippet: Snippet, name: str, recipe: Recipe, task: LearningTask) -> str:
    """Return the whole loop, for a ``model`` and a ``loader`` that are there.

    Args:
        snippet: what the regularizer changes of it.
        name: name of the regularizer with its strength.
        recipe: how the network trains.
        task: the learning task.
    """
    loss = _loss(recipe)
    if loss:
        own, theirs = "cross_entropy(", "functional.cross_entropy("
        changed = {part: getattr(snippet, part).replace(theirs, own) for part in ("loss", "after")}
        snippet = replace(snippet, **changed)
    batch = "x, y, ids" if snippet.ids else "x, y"
    adds_ids = "  # byheart.IndexedDataset adds the ids" if snippet.ids else ""
    scheduler = _scheduler(recipe)
    lines = [
        f"# {name}: found by byheart.advise",
        *(["import math", ""] if recipe.schedule == "cosine" else []),
        "import torch",
        "from torch.nn import functional",
        "",
        *_lines(snippet.setup, 0),
        *_lines(_disturbing(snippet.hidden, task.layers) if snippet.hidden else "", 0),
        *_lines(loss, 0),
        *_lines(_optimizer(recipe, snippet), 0),
        *_lines(scheduler, 0),
        "model.train()",
        f"for epoch in range({snippet.epochs or recipe.epochs}):",
        f"    for {batch} in loader:{adds_ids}",
        *(line for change in recipe.augmentations(task) for line in _lines(change.batch, 8)),
        *_lines(snippet.batch, 8),
        *_lines(f"loss = {snippet.loss}", 8),
        *_lines("optimizer.zero_grad()\nloss.backward()", 8),
        *_lines(_coupled(recipe, snippet), 8),
        *_lines(snippet.after, 8),
        "        optimizer.step()",
        *(["    scheduler.step()"] if scheduler else []),
    ]
    return "\n".join(lines) + "\n"


def _optimizer(recipe: Recipe, snippet: Snippet) -> str:
    rate = f"model.parameters(), lr={recipe.learning_rate:g}"
    if recipe.optimizer == "adamw":
        return f"optimizer = torch.optim.AdamW({rate}, weight_decay={recipe.weight_decay:g})"
    decay = recipe.weight_decay + snippet.weight_decay
    return f"""
    optimizer = torch.optim.SGD(
        {rate}, momentum={recipe.momentum:g}, weight_decay={decay:g}
    )
    """


def _coupled(recipe: Recipe, snippet: Snippet) -> str:
    """Return code that adds a regularizer's weight decay to the gradient, as AdamW does not."""
    if recipe.optimizer == "sgd" or not snippet.weight_decay:
        return ""
    return f"""
    for p in model.parameters():
        p.grad += {snippet.weight_decay:g} * p.detach()
    """


def _scheduler(recipe: Recipe) -> str:
    """Return code that sets the learning rate of each epoch; empty if it is constant."""
    warm_up = recipe.warm_up
    if recipe.schedule == "constant" and not warm_up:
        return ""
    later = f"(epoch - {warm_up})" if warm_up else "epoch"
    share = {
        "constant": "1",
        "cosine": f"(1 + math.cos(math.pi * {later} / {recipe.epochs - warm_up})) / 2",
        "step": f"{recipe.decay:g} ** ({later} // {recipe.steps_every})",
    }[recipe.schedule]
    rising = f"(epoch + 1) / {warm_up + 1} if epoch < {warm_up} else " if warm_up else ""
    return f"""
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: {rising}{share}
    )
    """


def _loss(recipe: Recipe) -> str:
    """Return the definition of a cross-entropy, if it is not PyTorch's default."""
    smoothing = f", label_smoothing={recipe.label_smoothing:g}" if recipe.label_smoothing else ""
    if recipe.class_weights == "balanced":
        return f"""
        weights = 1 / torch.bincount(torch.cat([batch[1] for batch in loader]))
        def cross_entropy(logits, y):
            losses = functional.cross_entropy(logits, y, reduction="none"{smoothing})
            return (weights[y] * losses).sum() / weights[y].sum()
        """
    if smoothing:
        return f"""
        def cross_entropy(logits, y):
            return functional.cross_entropy(logits, y{smoothing})
        """
    return ""


def _disturbing(formula: str, layers: Sequence[str]) -> str:
    """Return code that puts a formula of h in the place of every activation layer's output."""
    kinds = ", ".join(f"torch.nn.{name}" for name in layers)
    return f"""
    def disturb(layer, inputs, h):
        return {formula}

    for layer in model.modules():
        if isinstance(layer, ({kinds},)):
            layer.register_forward_hook(disturb)
    """


def _lines(text: str, indent: int) -> list[str]:
    dedented = textwrap.dedent(text).strip("\n")
    return [" " * indent + line for line in dedented.splitlines()] if dedented else []
