"""Hooks of the callbacks for ``lightning`` and ``pytorch_lightning``; imports neither of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from byheart.auditing.adapters.indexed import Where, ids_of, labels_of, logits_of
from byheart.auditing.adapters.shared import StopAtOnset, is_indexed, record, require_new
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError, choose


class ForwardLogits:
    """Collects the logits of each forward pass of a module whose output requires gradients.

    Passes without gradients (a teacher, a metric, validation) are ignored.
    """

    def __init__(self, module: nn.Module) -> None:
        self._logits: list[Tensor] = []
        self._hook = module.register_forward_hook(self._collect)

    def take(self) -> list[Tensor]:
        """Return the logits since the last call, one tensor per forward pass."""
        logits, self._logits = self._logits, []
        return logits

    def stop(self) -> None:
        """Remove the hook from the module."""
        self._hook.remove()

    def _collect(self, module: nn.Module, inputs: Any, output: Any) -> None:
        logits = logits_of(output)
        if isinstance(logits, Tensor) and logits.requires_grad:
            self._logits.append(logits.detach())


class LightningHooks:
    """Feeds a tracker from a Lightning training; see ``byheart.auditing.adapters.lightning``."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        ids: Where = None,
        labels: Where = None,
        module: str | None = None,
        stop_at_onset: str | None = None,
    ) -> None:
        self.tracker = tracker
        self._ids, self._labels, self._module = ids, labels, module
        self._forward: ForwardLogits | None = None
        # The epoch in progress, which has not ended for the tracker; None between epochs.
        self._epoch: int | None = None
        self._has_ids = False
        self._stop = StopAtOnset(stop_at_onset)

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Hook the module that computes logits."""
        if not trainer.global_step:
            require_new(self.tracker)
        self._stop.start()
        self._remove_hook()
        self._has_ids = is_indexed(getattr(trainer.train_dataloader, "dataset", None))
        self._forward = ForwardLogits(self._source(pl_module))

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """End the epoch before, if Lightning did not.

        A training resumed from the last step of an epoch begins with the next epoch.
        """
        if self._epoch is not None and self._epoch != trainer.current_epoch:
            self._end_epoch()
        if self._forward:
            self._forward.take()

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show a batch to the tracker; one without an optimizer step is left out."""
        if not outputs and getattr(pl_module, "automatic_optimization", True):
            return
        passes = self._forward.take() if self._forward else []
        step = outputs if isinstance(outputs, Mapping) else {}
        ids = step["ids"] if "ids" in step else self._ids_of(batch)
        self._epoch = trainer.current_epoch
        if "losses" in step:
            self.tracker.update(ids, loss=step["losses"])
            return
        labels = step["labels"] if "labels" in step else labels_of(batch, self._labels)
        if "logits" not in step and len(passes) != 1:
            raise InputError(self._no_logits(pl_module, len(passes)))
        record(self.tracker, ids, step["logits"] if "logits" in step else passes[0], labels)

    def _ids_of(self, batch: Any) -> Any:
        ids = ids_of(batch, self._ids)
        if self._ids is None and not isinstance(batch, Mapping) and not self._has_ids:
            raise InputError(
                "the batch has three members or more, and the last may not be ids: wrap the "
                "training set in byheart.IndexedDataset, or give TrackerCallback(..., ids=-1)"
            )
        return ids

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Stop if memorization has set in."""
        if self._stop.metric is None or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        stop = self._stop.has_set_in(pl_module, trainer.callback_metrics)
        # In a distributed training all processes stop, or none.
        self._stop.stopped = trainer.strategy.reduce_boolean_decision(stop, all=False)
        trainer.should_stop |= self._stop.stopped

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """End the epoch."""
        if self._epoch is not None:
            self._end_epoch()

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Remove the hook; after a stop, load the weights of the best epoch."""
        self._stop.end(pl_module)
        self._remove_hook()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Remove the hook."""
        self._remove_hook()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for the checkpoint; in a distributed training all processes call it."""
        self.tracker.gather()
        return {"tracker": self.tracker.state_dict(), "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.tracker.load_state_dict(state_dict["tracker"])
        self._epoch = state_dict["epoch"]

    def _end_epoch(self) -> None:
        self.tracker.end_epoch()
        self._epoch = None

    def _remove_hook(self) -> None:
        if self._forward:
            self._forward.stop()
        self._forward = None

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
            f"{name} computed logits {passes} times in a training step, not once: return "
            '{"loss": ..., "logits": ...} from training_step, or name the submodule that computes '
            f"them: TrackerCallback(..., module=...), one of {parts}"
        )
