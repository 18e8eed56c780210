"""The tracker in a training by ``lightning``."""

from __future__ import annotations

from byheart.auditing.adapters.lightning_hooks import LightningHooks
from byheart.errors import InputError

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    raise InputError("this callback needs lightning: pip install 'byheart[lightning]'") from error


class TrackerCallback(LightningHooks, Callback):
    """Shows every training batch to a tracker, and saves the tracker with every checkpoint.

    Ids and labels are taken from the batch: the last two of ``(x, ..., y, id)``, or what a dict has
    under ``id`` and ``label``, ``labels``, ``target``, ``targets`` or ``y``, as
    :class:`byheart.IndexedDataset` makes it. Logits are those of the forward pass of the
    LightningModule, or of the submodule that is named. If ``training_step`` returns a dict with
    ``logits``, ``ids`` or ``labels``, these are used instead.

    Validation and the sanity check are not counted. Accumulated gradients, manual optimization and
    several devices work. A step that returns None is left out. For trainings without classes,
    return ``{"loss": ..., "losses": ...}`` with a loss per example. A checkpoint holds the
    tracker's state: a training that is resumed (``ckpt_path``) ends with the same history as one
    that was not interrupted.

    Args:
        tracker: tracker of as many examples as the training set has.
        ids: where the batch has its ids, if elsewhere: a key, a position, or a function of the
            batch.
        labels: where it has its labels, if elsewhere.
        module: name of the submodule that computes logits, if it is not the LightningModule.
        stop_at_onset: name of the accuracy on held-out examples that the module logs: when
            it shows that memorization has set in, training stops, and the module gets the weights
            of the best epoch; see :class:`byheart.auditing.live.OnsetWatch`. Every validation
            counts as an epoch. With several processes, log it with ``sync_dist=True``. After a
            resumption it starts anew.

    Raises:
        InputError: ``stop_at_onset`` names a loss; or while training, if it was not logged, if a
            batch has no ids or labels, or if there are no logits or several in a step; and what
            :meth:`byheart.Tracker.update` raises.
    """
