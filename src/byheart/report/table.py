"""The data of a figure as CSV, and files as links within the page."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote

from byheart.studies.figure import Figure

COLUMNS = ("panel", "series", "x", "y", "low", "high")


def to_csv(figure: Figure) -> str:
    """Return every point of a figure, unrounded, under the columns ``COLUMNS``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in figure.points:
        writer.writerow([getattr(point, column) for column in COLUMNS])
    return text.getvalue()


def data_uri(kind: str, text: str) -> str:
    """Return a text as an address that holds it, so that one file is enough to download it."""
    return f"data:{kind};charset=utf-8," + quote(text, safe="/:=(),;!*@$")
