"""A hook that writes checkpoints of a pack in training, and resumes it from the last one."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from byheart.store.checkpoints import Checkpoints
from byheart.training.loop import Hook, TrainingLoop
from byheart.version import __version__


class Resumable(Protocol):
    """A hook with a state of its own."""

    def state(self) -> Any:
        """Return tensors and plain values."""
        ...

    def restore(self, state: Any) -> None:
        """Load a state that :meth:`state` returned."""
        ...


class Resume(Hook):
    """Writes checkpoints at the end of epochs, and restores the last one at the start.

    Put it behind the hooks whose state it keeps.

    Args:
        checkpoints: stores the states.
        facts: returns all that decides the results of the pack, before it trains.
        parts: hooks whose state belongs to the pack.
        at_end: the last epoch, after which a checkpoint is written in any case; None if the results
            are stored elsewhere then.

    Attributes:
        seconds: training time before it was resumed.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        facts: Callable[[TrainingLoop], Mapping[str, Any]],
        parts: Sequence[Resumable],
        *,
        at_end: int | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._facts_of = facts
        self._facts: dict[str, Any] = {}
        self._parts = list(parts)
        self._at_end = at_end
        self._start = time.monotonic()
        self.seconds = 0.0

    def start(self, loop: TrainingLoop) -> None:
        """Restore the last checkpoint, if there is one."""
        versions = {"byheart": __version__, "torch": torch.__version__}
        self._facts = {**self._facts_of(loop), **versions}
        self._start = time.monotonic()
        content = self._checkpoints.read(self._facts)
        if content is None:
            return
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        loop.restore(state["loop"])
        for part, part_state in zip(self._parts, state["parts"], strict=True):
            part.restore(part_state)
        self.seconds = state["seconds"]

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Write a checkpoint, if it is time."""
        if loop.epoch != self._at_end and not self._checkpoints.due():
            return
        state = {
            "loop": loop.state(),
            "parts": [part.state() for part in self._parts],
            "seconds": self.seconds + time.monotonic() - self._start,
        }
        file = io.BytesIO()
        torch.save(state, file)
        self._checkpoints.write(self._facts, file.getvalue())

    def remove(self) -> None:
        """Remove the checkpoint of this pack: its results are stored elsewhere."""
        self._checkpoints.remove(self._facts)


def digest_of(*arrays: Any) -> str:
    """Return the hash of tensors or arrays: their types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        tensor = torch.as_tensor(array).detach().cpu().contiguous()
        digest.update(f"{tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
