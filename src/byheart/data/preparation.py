"""How a source became the inputs of a network, and what a person sees of each example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["images", "table", "text"]

SMALLEST_SIDE = 4
"""Pixels on a side below which an array is no image."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """How a source became inputs. It is no part of a fingerprint.

    Attributes:
        kind: what an example is: an image, a row of a table, or a text.
        rows: the columns of the source without the label, one row per example; for image folders
            the column ``file``. Its index names the row in the source. A part of bare arrays has
            the index only, and whole arrays have None.
        text: the column of ``rows`` with the texts.
        features: name of each input: a column, a category, or an n-gram; empty if there are none.
        notes: what was done to labels and inputs, one sentence each, without a full stop.
        skipped: files that were left out, each with its reason.
        label: the column of the source with the labels.
        shown_range: the values that a page shows as black and as white, for images.
    """

    kind: Kind
    rows: pd.DataFrame | None = None
    text: str | None = None
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    shown_range: tuple[float, float] = (0.0, 1.0)
    label: str = "label"

    @property
    def texts(self) -> list[str] | None:
        """The text of each example; None if the examples are no texts."""
        if self.rows is None or self.text is None:
            return None
        return [str(text) for text in self.rows[self.text]]

    @property
    def files(self) -> list[str] | None:
        """The file of each example; None if the examples are no files."""
        if self.kind != "images" or self.rows is None or "file" not in self.rows:
            return None
        return [str(file) for file in self.rows["file"]]

    @property
    def numbers(self) -> list[Any] | None:
        """The row of each example in the source; None if these are 0, 1, 2, ..."""
        import pandas as pd

        if self.rows is None or self.rows.index.equals(pd.RangeIndex(len(self.rows))):
            return None
        return self.rows.index.tolist()

    def subset(self, indices: Sequence[int]) -> Preparation:
        """Return the preparation of the examples at ``indices``, in that order."""
        import pandas as pd

        at = list(indices)
        rows = pd.DataFrame(index=at) if self.rows is None else self.rows.iloc[at]
        return replace(self, rows=rows)


def kind_of(shape: Sequence[int]) -> Kind:
    """Return what inputs of a shape are: images [H, W] or [channels, H, W], or rows of a table."""
    image = len(shape) in (2, 3) and min(shape[-2:]) >= SMALLEST_SIDE
    return "images" if image else "table"
