"""The tracker in a training by the ``Trainer`` of transformers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from byheart.auditing.adapters.indexed import ID, labels_of, logits_of
from byheart.auditing.adapters.shared import StopAtOnset, record, require_new
from byheart.auditing.epoch import rank
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError
from byheart.networks.foreign import read_checkpoint

try:
    from transformers import TrainerCallback as Base
except ModuleNotFoundError as error:
    raise InputError(
        "this callback needs transformers: pip install 'byheart[transformers]'"
    ) from error

STATE = "byheart.pt"
"""The tracker's file in a checkpoint folder."""


class ExtraArgument:
    """Adds an argument to what the signature of a model class's ``forward`` says, until undone.

    A transformers ``Trainer`` drops the columns of a data set that ``forward`` does not name. Its
    ``label_names`` would keep a column too, but evaluation then needs it for its loss. The class is
    changed, not the model: ``Trainer(model_init=...)`` makes new models.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self._forward: Any = getattr(model.forward, "__func__", model.forward)
        self._before = vars(self._forward).get("__signature__")
        named = inspect.signature(self._forward)
        if name in named.parameters:
            self._forward = None
            return
        added = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        # Python wants **kwargs last.
        in_order = sorted((*named.parameters.values(), added), key=lambda p: p.kind)
        self._forward.__signature__ = named.replace(parameters=in_order)

    def undo(self) -> None:
        """Leave ``forward`` as it was."""
        if self._forward is not None and self._before is None:
            vars(self._forward).pop("__signature__", None)
        elif self._forward is not None:
            self._forward.__signature__ = self._before


class TrackerCallback(Base):
    """Shows every training batch to a tracker, and saves the tracker with every checkpoint.

    For models whose output has ``logits``. Of classes [B, classes], all scores are recorded; of
    tokens (language models, token classification), several labels and regression, the loss of each
    example. The training set has a column ``id``: that of :class:`byheart.IndexedDataset`, or your
    own, from 0. Give the callback to ``Trainer(callbacks=[...])``: it lets the column through
    ``remove_unused_columns``,
    takes it out of the batch before the model sees it, and reads logits and labels where the model
    is called. Evaluation is not counted; accumulated gradients and several processes are fine.

    A training that is resumed (``resume_from_checkpoint``) ends with the history of one that was
    not interrupted: the tracker's state lies in the checkpoint, as ``byheart.pt``.

    Args:
        tracker: tracker of as many examples as the training set has.
        labels: [N] the labels of all examples by id, if the model is not called with them, as with
            label smoothing or a loss of your own.
        id: another name of the column.
        resume_from: the checkpoint's folder, where that is not in ``output_dir``.
        stop_at_onset: name of the accuracy on held-out examples that evaluation at the
            end of every epoch returns, such as ``eval_accuracy``: when it shows that memorization
            has set in, training stops, and the model gets the weights of the best epoch; see
            :class:`byheart.auditing.live.OnsetWatch`. Every evaluation counts as an epoch. After a
            resumption it starts anew.

    Raises:
        InputError: ``stop_at_onset`` names a loss; or while training, if it is not there, if a
            batch has no ids, labels or logits, if a checkpoint has no state of the tracker, or with
            ``DataParallel``; and what :meth:`byheart.Tracker.update` raises.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        labels: ArrayLike | None = None,
        id: str = ID,
        resume_from: str | Path | None = None,
        stop_at_onset: str | None = None,
    ) -> None:
        self.tracker = tracker
        self._labels = None if labels is None else np.asarray(labels)
        self._id, self._resume_from = id, resume_from
        self._argument: ExtraArgument | None = None
        self._model: nn.Module | None = None
        self._training = False
        self._ids: Any = None
        # Whether batches were seen of an epoch that has not ended.
        self._begun = False
        self._stop = StopAtOnset(stop_at_onset)

    def on_init_end(
        self, args: Any, state: Any, control: Any, model: nn.Module | None = None, **others: Any
    ) -> None:
        """Let ids through to the model, before the trainer looks for what the model takes."""
        if model is not None:
            # Of a model with adapters (peft), the trainer looks at the one within.
            within: Any = getattr(model, "get_base_model", lambda: model)
            self._argument = ExtraArgument(within(), self._id)
            self._hook(model)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: nn.Module, **others: Any
    ) -> None:
        """Begin to count, after what the checkpoint says was counted."""
        if self._argument:
            self._argument.undo()
        if args.n_gpu > 1:
            raise InputError(
                f"the Trainer splits batches over {args.n_gpu} GPUs by DataParallel, where ids are "
                "lost: start it by torchrun or accelerate launch, or show it one GPU"
            )
        self._hook(model)
        if state.global_step:
            self._restore(args, state)
        else:
            require_new(self.tracker)
        self._training = True
        self._stop.start()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """End the epoch."""
        self._end_epoch()

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: nn.Module,
        metrics: dict[str, float],
        **others: Any,
    ) -> None:
        """Stop if memorization has set in."""
        if self._training and self._stop.has_set_in(model, metrics):
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Add the tracker to a checkpoint that was saved."""
        self.tracker.gather()
        if rank() == 0:
            saved = {"tracker": self.tracker.state_dict(), "begun": self._begun}
            torch.save(saved, Path(args.output_dir, f"checkpoint-{state.global_step}", STATE))

    def on_train_end(
        self, args: Any, state: Any, control: Any, model: nn.Module, **others: Any
    ) -> None:
        """Count no longer. Ids are still taken out of batches, for an evaluation afterwards."""
        self._training = False
        self._stop.end(model)

    def _end_epoch(self) -> None:
        self.tracker.end_epoch()
        self._begun = False

    def _restore(self, args: Any, state: Any) -> None:
        name = f"checkpoint-{state.global_step}"
        folders = [self._resume_from, args.resume_from_checkpoint, Path(args.output_dir, name)]
        files = [Path(f, STATE) for f in folders if isinstance(f, str | Path)]
        saved_state = next((file for file in files if file.is_file()), None)
        if saved_state is None:
            raise InputError(
                f"{files[-1]} is not there: this training goes on from a checkpoint that was saved "
                "elsewhere, or without the tracker: TrackerCallback(..., resume_from=FOLDER), or "
                "train from the start"
            )
        saved = read_checkpoint(saved_state)
        self.tracker.load_state_dict(saved["tracker"])
        self._begun = saved["begun"]
        if self._begun and float(state.epoch).is_integer():
            # Saved after the last step of an epoch, before its end was told.
            self._end_epoch()

    def _hook(self, model: nn.Module) -> None:
        if model is not self._model:
            self._model = model
            # Compiled, the hooks would be compiled anew for every batch.
            not_compiled: Any = torch.compiler.disable
            model.register_forward_pre_hook(not_compiled(self._take_ids), with_kwargs=True)
            model.register_forward_hook(not_compiled(self._update), with_kwargs=True)

    def _take_ids(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._ids = kwargs.get(self._id)
        return args, {name: value for name, value in kwargs.items() if name != self._id}

    def _update(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Show the tracker what the model said, if that will be differentiated."""
        ids, self._ids = self._ids, None
        logits = logits_of(output)
        if not self._training or not model.training or not torch.is_grad_enabled():
            return
        if ids is None:
            raise InputError(
                f"the model was called without '{self._id}': wrap the training set in "
                "byheart.IndexedDataset, give the callback to Trainer(callbacks=[...]), and see "
                f"that the collator keeps '{self._id}'"
            )
        if not isinstance(logits, Tensor):
            raise InputError(
                f"the model's {type(output).__name__} has no logits: track a model that classifies"
            )
        labels = self._labels_of(ids, kwargs)
        record(self.tracker, ids, logits, labels, next_token=_predicts_next_token(model))
        self._begun = True

    def _labels_of(self, ids: Any, batch: Mapping[str, Any]) -> Any:
        if self._labels is None:
            return labels_of(batch)
        numbers = np.asarray(ids.cpu() if isinstance(ids, Tensor) else ids)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self._labels):
            raise InputError(f"labels are of {len(self._labels)} examples, and ids go beyond them")
        return self._labels[numbers]


def _predicts_next_token(model: nn.Module) -> bool:
    """Return whether labels are shifted by the model itself, as a causal language model does."""
    within: Any = getattr(model, "get_base_model", lambda: model)()
    name = type(within).__name__
    return getattr(within, "loss_type", None) == "ForCausalLM" or name.endswith(
        ("ForCausalLM", "LMHeadModel")
    )
