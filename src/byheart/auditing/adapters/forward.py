"""What a network said while it was trained on a batch, by a hook on its forward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from byheart.auditing.adapters.batch import logits_of


class Overheard:
    """The logits that a module gives back, whenever its output will be differentiated.

    A pass without gradients (of a teacher, for a metric, in validation) is not listened to.

    Args:
        module: maps a batch to logits, or to something that has ``logits``.
    """

    def __init__(self, module: nn.Module) -> None:
        self._logits: list[Tensor] = []
        self._hook = module.register_forward_hook(self._hear)

    def take(self) -> list[Tensor]:
        """Return the logits since the last call, one tensor per forward pass."""
        logits, self._logits = self._logits, []
        return logits

    def stop(self) -> None:
        """Take the hook off the module."""
        self._hook.remove()

    def _hear(self, module: nn.Module, inputs: Any, output: Any) -> None:
        logits = logits_of(output)
        if isinstance(logits, Tensor) and logits.requires_grad:
            self._logits.append(logits.detach())
