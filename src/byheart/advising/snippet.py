"""Code to paste: an ordinary training loop with a regularizer in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.training.recipe import Recipe

CROSS_ENTROPY = "functional.cross_entropy(model(x), y)"


@dataclass(frozen=True)
class Snippet:
    """What a regularizer changes of a training loop, as lines of Python.

    Attributes:
        setup: before training; may use ``model``.
        hidden: a formula of ``h``, put in the place of every activation layer's output.
        batch: before the loss; may change ``x`` and ``y``.
        loss: of a batch.
        after: between the gradients and the step.
        weight_decay: added to that of the recipe.
        epochs: in place of those of the recipe.
        ids: the loop needs the ids of examples.
    """

    setup: str = ""
    hidden: str = ""
    batch: str = ""
    loss: str = CROSS_ENTROPY
    after: str = ""
    weight_decay: float = 0.0
    epochs: int | None = None
    ids: bool = False

    def fill(self, name: str, recipe: Recipe, layers: Sequence[str]) -> str:
        """Return the whole loop, for a ``model`` and a ``loader`` that are there.

        Args:
            name: of the regularizer with its strength.
            recipe: how the network trains.
            layers: types of the activation layers of the user's network, as ``torch.nn`` has them.
        """
        decay = recipe.weight_decay + self.weight_decay
        options = f"lr={recipe.learning_rate:g}, momentum={recipe.momentum:g}"
        head = [
            f"# {name}: found by byheart.advise",
            "import torch",
            "from torch.nn import functional",
            "",
            *_lines(self.setup, 0),
            *_lines(_disturbing(self.hidden, layers) if self.hidden else "", 0),
            "optimizer = torch.optim.SGD(",
            f"    model.parameters(), {options}, weight_decay={decay:g}",
            ")",
            "model.train()",
            f"for epoch in range({self.epochs or recipe.epochs}):",
        ]
        if self.ids:
            head += ["    for x, y, ids in loader:  # byheart.IndexedDataset adds the ids"]
        else:
            head += ["    for x, y in loader:"]
        body = [
            *_lines(self.batch, 8),
            *_lines(f"loss = {self.loss}", 8),
            *_lines("optimizer.zero_grad()\nloss.backward()", 8),
            *_lines(self.after, 8),
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
