"""The data set for workers: written once, mapped into the memory of each, shared by all."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from byheart.errors import InputError

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset


@dataclass(frozen=True)
class Handover:
    """Where a data set lies for the workers.

    Attributes:
        folder: holds one ``.npy`` per tensor; whoever ends last removes it.
        kind: the class of the data set.
        others: its fields that are no tensors, by name.
    """

    folder: Path
    kind: type[Dataset]
    others: Mapping[str, Any]

    def load(self) -> Dataset:
        """Return the data set; its tensors share memory between processes until written to."""
        import torch

        # Copy on write rather than read only: torch has no read-only tensors.
        tensors: dict[str, Any] = {
            path.stem: torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
            for path in self.folder.glob("*.npy")
        }
        return self.kind(**self.others, **tensors)


@contextlib.contextmanager
def handed_over(dataset: Dataset) -> Iterator[Handover]:
    """Write a data set to a temporary folder, and remove that at the end.

    Raises:
        InputError: there is no room for it.
    """
    import torch

    fields = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
    tensors = {name: v for name, v in fields.items() if isinstance(v, torch.Tensor)}
    others = {name: v for name, v in fields.items() if name not in tensors}
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="byheart-", ignore_cleanup_errors=True)
            )
            for name, tensor in tensors.items():
                np.save(Path(folder, f"{name}.npy"), tensor.cpu().numpy(), allow_pickle=False)
        except OSError as error:
            raise InputError(
                f"cannot write to the temporary folder ({error.strerror}): set TMPDIR to a folder "
                "with room, or use --runner inline"
            ) from error
        yield Handover(Path(folder), type(dataset), others)
