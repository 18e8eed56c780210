"""What the page of an audit needs to review examples one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from byheart.auditing.cards import Card, cards
from byheart.auditing.planting import Ids
from byheart.auditing.result import AuditResult
from byheart.auditing.reviews import draw_list, draw_sample
from byheart.auditing.verdicts import nearest
from byheart.seeds import generator
from byheart.texts import cell, visible

SAMPLE = 100
"""Examples of :meth:`byheart.Audit.to_review` on the page."""
LISTED = 50
"""Further examples of the flagged list on the page."""
AROUND = 6
"""Nearest examples, and typical examples of a class, that are shown."""
KEYS = "1234567890abdefghijklmnopqtvxy"
"""Keys of classes: without the letters of verdicts, undo and choice."""


@dataclass(frozen=True)
class ClassChoice:
    """A class that a reviewer may choose.

    Attributes:
        name: of the class.
        written: what the file of reviews holds: the name, or the number of a class whose name
            spreadsheets would take for a formula, or which has characters that are not seen.
        key: on the keyboard; "" with more classes than keys.
        typical: ids of typical examples.
    """

    name: str
    written: str
    key: str
    typical: tuple[int, ...]


@dataclass(frozen=True)
class ReviewExample:
    """An example to review: its card, both classes by number, and the ids of nearest examples."""

    card: Card
    label: int
    suggested: int
    near: tuple[int, ...]


@dataclass(frozen=True)
class ReviewView:
    """The review view of a page.

    Attributes:
        data: fingerprint of the data set, "" if it is not known.
        examples: to review, in this order.
        sample: how many of them are the sample; the others are on the flagged list.
        others: cards of nearest and typical examples, each once.
        classes: all classes, by number.
    """

    data: str
    examples: tuple[ReviewExample, ...]
    sample: int
    others: tuple[Card, ...]
    classes: tuple[ClassChoice, ...]

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The classes as the page's script reads them."""
        return [asdict(choice) | {"name": visible(choice.name)} for choice in self.classes]


def review_view(audit: AuditResult, *, texts: Sequence[str] | None) -> ReviewView:
    """Return the review view: the sample of ``to_review`` first, then the rest of the list."""
    ids, sample = to_review(audit)
    near = _near(audit, ids)
    rows = audit.table.loc[ids]
    labels, suggested = (rows[name].to_numpy(np.int64) for name in ("label", "suggested"))
    shown = sorted({*labels.tolist(), *suggested.tolist()} - {-1})
    typical = {k: _typical(audit, k) for k in shown}
    others = {i for found in (*near, *typical.values()) for i in found}
    examples = (
        ReviewExample(*fields)
        for fields in zip(
            cards(audit, ids.tolist(), texts=texts, with_scores=False),
            labels.tolist(),
            suggested.tolist(),
            near,
            strict=True,
        )
    )
    return ReviewView(
        data="" if audit.dataset is None else audit.dataset.fingerprint,
        examples=tuple(examples),
        sample=sample,
        others=tuple(cards(audit, sorted(others), texts=texts, with_scores=False)),
        classes=_choices(audit.classes, typical),
    )


def to_review(audit: AuditResult) -> tuple[Ids, int]:
    """Return the ids to review, and how many of them are the sample."""
    calibration = audit.calibration
    reviewed = None if calibration.reviews is None else calibration.reviews.ids
    sample = calibration.ranking[draw_sample(calibration.ranking, SAMPLE, reviewed=reviewed)]
    done = sample if reviewed is None else np.concatenate([sample, reviewed])
    listed = draw_list(calibration.ranking, calibration.flagged, reviewed=done)[:LISTED]
    return np.concatenate([sample, listed]), len(sample)


def _near(audit: AuditResult, ids: Ids) -> list[tuple[int, ...]]:
    """Return the ids of the nearest examples of each example, by distance of inputs."""
    if audit.dataset is None or len(audit.dataset) <= AROUND or not len(ids):
        return [()] * len(ids)
    found = nearest(audit.dataset.x.cpu().flatten(1), torch.from_numpy(ids), AROUND)
    return [tuple(row) for row in found.tolist()]


def _typical(audit: AuditResult, label: int) -> tuple[int, ...]:
    """Return ids at random from the least suspect half of a class."""
    table = audit.table
    rows = table.loc[(table["label"] == label) & table["suspicion"].notna(), "suspicion"]
    half = rows.sort_values(kind="stable").index[: max(1, len(rows) // 2)].to_numpy(np.int64)
    drawn = generator("typical", label).permutation(half)[:AROUND]
    return tuple(drawn.tolist())


def _choices(
    classes: Sequence[str], typical: Mapping[int, tuple[int, ...]]
) -> tuple[ClassChoice, ...]:
    digits = all(len(name) == 1 and name in KEYS[:10] for name in classes)
    keys = "".join(classes) if digits else KEYS
    keyed = len(classes) <= len(keys)
    return tuple(
        ClassChoice(
            name=name,
            written=name if cell(visible(name)) == name else str(k),
            key=keys[k] if keyed else "",
            typical=typical.get(k, ()),
        )
        for k, name in enumerate(classes)
    )
