"""Code to paste: an ordinary training loop with a regularizer in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Snippet


def training_code(snippet: Snippet, name: str, recipe: Recipe, layers: Sequence[str]) -> str:
    """Return the whole loop, for a ``model`` and a ``loader`` that are there.

    Args:
        snippet: what the regularizer changes of it.
        name: of the regularizer with its strength.
        recipe: how the network trains.
        layers: types of the activation layers of the user's network, as ``torch.nn`` has them.
    """
    decay = recipe.weight_decay + snippet.weight_decay
    options = f"lr={recipe.learning_rate:g}, momentum={recipe.momentum:g}"
    head = [
        f"# {name}: found by byheart.advise",
        "import torch",
        "from torch.nn import functional",
        "",
        *_lines(snippet.setup, 0),
        *_lines(_disturbing(snippet.hidden, layers) if snippet.hidden else "", 0),
        "optimizer = torch.optim.SGD(",
        f"    model.parameters(), {options}, weight_decay={decay:g}",
        ")",
        "model.train()",
        f"for epoch in range({snippet.epochs or recipe.epochs}):",
    ]
    if snippet.ids:
        head += ["    for x, y, ids in loader:  # byheart.IndexedDataset adds the ids"]
    else:
        head += ["    for x, y in loader:"]
    body = [
        *_lines(snippet.batch, 8),
        *_lines(f"loss = {snippet.loss}", 8),
        *_lines("optimizer.zero_grad()\nloss.backward()", 8),
        *_lines(snippet.after, 8),
        "        optimizer.step()",
    ]
    return "\n".join([*head, *body]) + "\n"


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
