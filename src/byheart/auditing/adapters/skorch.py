"""The tracker in a training by skorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torch.utils.data.dataloader import default_collate

from byheart.auditing.adapters.shared import StopAtOnset, require_new
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError
from byheart.networks.foreign import read_checkpoint

try:
    from skorch import NeuralNetClassifier, NeuralNetRegressor
    from skorch.callbacks import Callback, Checkpoint
except ModuleNotFoundError as error:
    raise InputError("this callback needs skorch: pip install 'byheart[skorch]'") from error

__all__ = ["RowLoader", "TrackerCallback"]

STATE = "byheart.pt"
"""The tracker's file in the folder of a checkpoint."""


class RowBatch(tuple[Any, ...]):
    """A batch ``(x, y)`` as ever, with the ids [B] of its examples beside it."""

    ids: Tensor

    @classmethod
    def of(cls, batch: Iterable[Any], ids: Tensor) -> RowBatch:
        """Return a batch with ids."""
        made = cls(batch)
        made.ids = ids
        return made


class RowLoader(DataLoader[Any]):
    """A ``DataLoader`` whose batches know their rows: for ``NeuralNet(iterator_train=RowLoader)``.

    Batches have the same members as those of a ``DataLoader``. An id is a row of the data that the
    net was given, also where a part of it was set aside for validation.

    Args:
        dataset: map-style; of a ``Subset``, rows are counted in the whole.
        options: those of a ``DataLoader``.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:
        collate = _Collate(options.pop("collate_fn", None) or default_collate)
        super().__init__(_Rows(dataset), collate_fn=collate, **options)


class _Rows(Dataset[tuple[Any, int]]):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        sample, dataset = self.dataset[index], self.dataset
        while isinstance(dataset, Subset):
            index, dataset = dataset.indices[index], dataset.dataset
        return sample, int(index)


class _Collate:
    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, pairs: list[tuple[Any, int]]) -> RowBatch:
        samples, ids = zip(*pairs, strict=True)
        return RowBatch.of(self.collate(list(samples)), torch.tensor(ids))


class TrackerCallback(Callback):
    """Shows every training batch to a tracker, and saves the tracker with every checkpoint.

    Give it to a net with batches that know their rows:
    ``NeuralNetClassifier(..., iterator_train=RowLoader, callbacks=[TrackerCallback(tracker)])``. An
    id is then a row of the X that ``fit`` is given; rows set aside for validation are never seen.

    What the module gives back is taken as logits, except where skorch itself takes it for
    probabilities (``NeuralNetClassifier`` with ``NLLLoss``) or for the logit of one class of two
    (``BCEWithLogitsLoss``).

    Args:
        tracker: of as many examples as X has rows, or more. A net that is cloned, as
            ``GridSearchCV`` and ``cross_val_predict`` do for each fit, has a copy of it, with a
            history of its own: ids are then rows of the X of that fit.
        checkpoint: the net's ``Checkpoint``, which stands before this callback in ``callbacks``:
            whenever it saves the net, the tracker is saved beside it, as ``byheart.pt``, and a net
            that ``LoadInitState`` restores goes on with the history of one that was not
            interrupted.
        stop_at_onset: name of the accuracy on held-out examples that the net records, such as
            ``valid_acc``: when it shows that memorization has set in, training stops, and the
            module gets the weights of the best epoch; see
            :class:`byheart.auditing.live.OnsetWatch`. After a resumption it starts anew.

    Raises:
        InputError: ``stop_at_onset`` names a loss; or while training, if it is not recorded, if
            batches have no rows, if the checkpoint stands behind the callback or is of another
            epoch than the tracker's state, or if a second training begins with the tracker of a
            first; and what :meth:`byheart.Tracker.update` raises.
    """

    def __init__(
        self, tracker: Tracker, *, checkpoint: Any = None, stop_at_onset: str | None = None
    ) -> None:
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise InputError(
                f"checkpoint must be a skorch.callbacks.Checkpoint, got {type(checkpoint).__name__}"
            )
        self.tracker = tracker
        self.checkpoint: Any = checkpoint
        self.stop_at_onset = stop_at_onset
        # skorch takes all that does not end with "_" for a parameter.
        self.starting_ = True
        self.begun_ = False
        self.stop_ = StopAtOnset(stop_at_onset)

    def on_train_begin(self, net: Any, **others: Any) -> None:
        """Look for a checkpoint before the next epoch."""
        self.starting_ = True
        self.stop_.start()

    def on_epoch_begin(self, net: Any, **others: Any) -> None:
        """Go on where the net does, when all callbacks have had their say at the start."""
        if self.starting_:
            self._go_on(len(net.history) - 1)
        self.starting_ = False

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool | None = None, **step: Any
    ) -> None:
        """Show a training batch to the tracker."""
        if not training:
            return
        if not isinstance(batch, RowBatch):
            raise InputError(
                "batches have no rows: give the net iterator_train=RowLoader, of "
                "byheart.auditing.adapters.skorch, without pin_memory"
            )
        self._record(net, batch, step["y_pred"])
        self.begun_ = True

    def _record(self, net: Any, batch: RowBatch, output: Any) -> None:
        y = _labels(batch[1])
        is_loss = isinstance(net, NeuralNetRegressor) or (isinstance(y, Tensor) and y.ndim > 1)
        if not is_loss or not hasattr(net.criterion_, "reduction"):
            self.tracker.update(batch.ids, _logits(net, output), y)
            return
        criterion = copy.copy(net.criterion_)
        criterion.reduction = "none"
        z: Tensor = output[0] if isinstance(output, tuple) else output
        self.tracker.update(batch.ids, loss=criterion(z.detach(), batch[1].to(z.device)))

    def on_epoch_end(self, net: Any, **others: Any) -> None:
        """End the epoch, save the tracker if the net was saved, and stop if it is time."""
        self._end_epoch()
        if self.checkpoint is not None:
            self._save(net)
        if self.stop_.has_set_in(net.module_, net.history[-1]):
            # That is how callbacks of skorch end a training.
            raise KeyboardInterrupt

    def _save(self, net: Any) -> None:
        saved = net.history[-1].get(self.checkpoint.event_name)
        if saved is None:
            raise InputError(
                "the checkpoint did not report on this epoch: give it an event_name, and put it "
                "before TrackerCallback in the net's callbacks"
            )
        if saved:
            torch.save(self.tracker.state_dict(), self._file())

    def on_train_end(self, net: Any, **others: Any) -> None:
        """End an epoch that was cut short: what it did not see are gaps."""
        if self.begun_:
            self._end_epoch()
        self.stop_.end(net.module_)

    def _end_epoch(self) -> None:
        self.tracker.end_epoch()
        self.begun_ = False

    def _file(self) -> Path:
        return Path(self.checkpoint.dirname, STATE)

    def _go_on(self, epochs: int) -> None:
        """Bring the tracker to where the net is, after so many epochs."""
        if self.tracker.epoch == epochs:
            return
        if not epochs:
            require_new(self.tracker)
        if self.checkpoint is None:
            return
        if not self._file().is_file():
            raise InputError(
                f"{self._file()} is not there, to go on after {epochs} epochs: the checkpoint was "
                "saved without the tracker; train from the start"
            )
        self.tracker.load_state_dict(read_checkpoint(self._file()))
        if self.tracker.epoch != epochs:
            raise InputError(
                f"{self._file()} is of {self.tracker.epoch} epochs, the net's checkpoint of "
                f"{epochs}: bring back the files that were saved together"
            )


def _logits(net: Any, output: Any) -> Any:
    """Return logits [B, classes] of what the module gave back."""
    z: Tensor = output[0] if isinstance(output, tuple) else output
    if isinstance(net.criterion_, nn.BCEWithLogitsLoss):
        z = z.reshape(-1)
        return torch.stack([torch.zeros_like(z), z], dim=1)
    if isinstance(net.criterion_, nn.NLLLoss) and isinstance(net, NeuralNetClassifier):
        return torch.log(z + torch.finfo(z.dtype).eps)
    return z


def _labels(y: Any) -> Any:
    """Return labels [B] as whole numbers, where they are so (a binary loss wants them as float)."""
    if isinstance(y, Tensor) and y.is_floating_point() and bool((y == y.round()).all()):
        return y.reshape(-1).long()
    return y
