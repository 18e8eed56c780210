"""One section of the page: what a study has to show."""

from __future__ import annotations

from dataclasses import dataclass

from byheart.charts.figure import Drawing


@dataclass(frozen=True)
class Section:
    """The figures of one study and the claims they decide.

    Attributes:
        title: heading.
        source: the papers' figures ("A17 Fig 9").
        claims: ids of the claims decided here; one without a finding is shown as not run.
        figures: charts and pictures, in order.
    """

    title: str
    source: str
    claims: tuple[str, ...]
    figures: tuple[Drawing, ...]
