"""What the callbacks share: one tracker per training, losses, and the stop at the onset."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.auditing.adapters.indexed import IndexedDataset
from byheart.auditing.batches import IGNORED
from byheart.auditing.epoch import rank
from byheart.auditing.live import OnsetWatch
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError, choose


def require_new(tracker: Tracker) -> None:
    """Refuse a tracker that recorded another training: both would become one long history."""
    if tracker.epoch:
        raise InputError(
            f"the tracker holds {tracker.epoch} epochs of a training, and another begins: give it "
            "a new Tracker, or go on from a checkpoint of the first"
        )


class StopAtOnset:
    """Stops a training when memorization has set in, and loads the weights of the best epoch.

    Args:
        metric: name of the accuracy on held-out examples that the training logs; None to train on.

    Attributes:
        metric: see above.
        stopped: memorization has set in.

    Raises:
        InputError: the name is that of a loss, which falls where an accuracy rises.
    """

    def __init__(self, metric: str | None) -> None:
        if metric is not None and "loss" in metric:
            raise InputError(
                f"stop_at_onset takes the name of an accuracy, got '{metric}': log one on held-out "
                "examples"
            )
        self.metric = metric
        self._watch, self.stopped = OnsetWatch(), False

    def start(self) -> None:
        """Begin a training."""
        self._watch, self.stopped = OnsetWatch(), False

    def has_set_in(self, model: nn.Module, logged: Mapping[str, Any]) -> bool:
        """Take in what was logged after an epoch, and return whether memorization has set in."""
        if self.metric is None:
            return False
        name = choose("logged metric", self.metric, logged)
        self.stopped = self._watch.end_epoch(model, accuracy=float(logged[name]))
        return self.stopped

    def end(self, model: nn.Module) -> None:
        """Load the weights of the best epoch, if memorization stopped the training.

        Warns if nothing was evaluated: an error here would end a script that saves its network.
        """
        if self.metric is not None and not self._watch.accuracy:
            warnings.warn(
                f"stop_at_onset='{self.metric}' did nothing, since this training evaluated "
                "nothing: evaluate held-out examples after every epoch",
                stacklevel=2,
            )
        if self.stopped:
            epoch, count = self._watch.restore(model), len(self._watch.accuracy)
            if rank() == 0:
                print(
                    f"byheart: memorization has set in: stopped after {count} epochs, with the "
                    f"weights of epoch {epoch}"
                )


def is_indexed(dataset: Any) -> bool:
    """Return whether samples come from an IndexedDataset, or from a part of one."""
    while dataset is not None:
        if isinstance(dataset, IndexedDataset):
            return True
        dataset = getattr(dataset, "dataset", None)
    return False


def record(
    tracker: Tracker, ids: Any, logits: Any, labels: Any, *, next_token: bool = False
) -> None:
    """Show a batch to a tracker: logits of classes as they are, anything else as a loss.

    - Logits [B, classes] and labels [B] are recorded as such.
    - Logits [B, T, classes] and labels [B, T] give the mean cross-entropy of an example's tokens
      that are not labelled -100; with ``next_token``, each position predicts the next label.
    - Labels that are real numbers, of the shape of the logits, give the binary cross-entropy for
      several outputs, and the squared error for one output.
    """
    is_real = labels.is_floating_point() if isinstance(labels, Tensor) else False
    if not isinstance(logits, Tensor) or (logits.ndim < 3 and not is_real):
        tracker.update(ids, logits, labels)
        return
    y = torch.as_tensor(labels, device=logits.device)
    logits = logits.detach()
    if logits.ndim == 3:
        z = logits[:, :-1] if next_token else logits
        y = y[:, 1:] if next_token else y
        loss = functional.cross_entropy(
            z.float().transpose(1, 2), y, reduction="none", ignore_index=IGNORED
        )
        tracker.update(ids, loss=loss, labels=y)
    elif logits.numel() == y.numel():
        z, targets = logits.float(), y.float().reshape(logits.shape)
        several = logits.ndim == 2 and logits.shape[1] > 1
        of = functional.binary_cross_entropy_with_logits if several else functional.mse_loss
        tracker.update(ids, loss=of(z, targets, reduction="none"))
    else:
        tracker.update(ids, logits, labels)
