"""Tables as CSV, and files as links within a page."""

from __future__ import annotations

from urllib.parse import quote

import pandas as pd

from byheart.texts import cell


def frame_csv(frame: pd.DataFrame, *, index: bool = True) -> str:
    """Return a table as CSV, six significant digits a number, no text a formula."""
    safe = frame.map(cell)
    text: str = safe.to_csv(index=index, lineterminator="\n", float_format="%.6g")
    return text


def data_uri(kind: str, text: str) -> str:
    """Return a text as an address that holds it, so that one file is enough to download it."""
    return f"data:{kind};charset=utf-8," + quote(text, safe="/:=(),;!*@$")
