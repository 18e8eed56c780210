"""The files of an advice: the table, the numbers and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.files import write_text
from byheart.report.frame import frame_csv

if TYPE_CHECKING:
    from byheart.advising.result import Advice

CSV, JSON, PAGE = "advice.csv", "advice.json", "report.html"


def write_advice(folder: Path, advice: Advice, about: Mapping[str, str]) -> list[Path]:
    """Write the files of an advice; each is the old one or the new one, never half of both.

    Args:
        folder: where to; made if it does not exist.
        advice: what was found.
        about: further facts for the page, by name.

    Returns:
        The paths that were written, the page last.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    text = json.dumps(advice.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    return [
        write_text(folder / CSV, frame_csv(advice.table, index=False)),
        write_text(folder / JSON, f"{text}\n"),
        advice.to_html(folder / PAGE, about=about),
    ]
