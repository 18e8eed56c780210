"""What the callbacks for ``lightning`` and for ``pytorch_lightning`` do; needs neither of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from byheart.auditing.adapters.batch import Where, ids_of, labels_of
from byheart.auditing.adapters.forward import Overheard
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError, choose


class LightningHooks:
    """Feeds a tracker from a Lightning training; see ``byheart.auditing.adapters.lightning``."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        ids: Where = None,
        labels: Where = None,
        module: str | None = None,
    ) -> None:
        self.tracker = tracker
        self._ids, self._labels, self._module = ids, labels, module
        self._overheard: Overheard | None = None
        # The epoch of which batches were seen, and which has not ended for the tracker.
        self._epoch: int | None = None

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Listen to the module that computes logits."""
        self._stop_listening()
        self._overheard = Overheard(self._source(pl_module))

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """End an epoch of which the end was not told.

        A training that goes on from a checkpoint of the last step of an epoch begins with the next.
        """
        if self._epoch is not None and self._epoch != trainer.current_epoch:
            self._end_epoch()
        if self._overheard:
            self._overheard.take()

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show a batch to the tracker."""
        heard = self._overheard.take() if self._overheard else []
        told = outputs if isinstance(outputs, Mapping) else {}
        ids = told["ids"] if "ids" in told else ids_of(batch, self._ids)
        labels = told["labels"] if "labels" in told else labels_of(batch, self._labels)
        if "logits" not in told and len(heard) != 1:
            raise InputError(self._no_logits(pl_module, len(heard)))
        self.tracker.update(ids, told["logits"] if "logits" in told else heard[0], labels)
        self._epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """End the epoch."""
        if self._epoch is not None:
            self._end_epoch()

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Leave the module as it was."""
        self._stop_listening()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._stop_listening()

    def state_dict(self) -> dict[str, Any]:
        """Return what goes into the checkpoint; in a distributed training all processes call it."""
        self.tracker.gather()
        return {"tracker": self.tracker.state_dict(), "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.tracker.load_state_dict(state_dict["tracker"])
        self._epoch = state_dict["epoch"]

    def _end_epoch(self) -> None:
        self.tracker.end_epoch()
        self._epoch = None

    def _stop_listening(self) -> None:
        if self._overheard:
            self._overheard.stop()
        self._overheard = None

    def _source(self, pl_module: nn.Module) -> nn.Module:
        if self._module is None:
            return pl_module
        named = pl_module.named_modules()
        modules: dict[str, nn.Module] = {name: module for name, module in named if name}
        return modules[choose("module", self._module, modules)]

    def _no_logits(self, pl_module: nn.Module, passes: int) -> str:
        name = f"'{self._module}'" if self._module else type(pl_module).__name__
        parts = ", ".join(name for name, _ in pl_module.named_children()) or "none"
        return (
            f"{name} gave logits {passes} times in a training step, where once is needed: return "
            '{"loss": ..., "logits": ...} from training_step, or name the submodule that computes '
            f"them: TrackerCallback(..., module=...), one of {parts}"
        )
