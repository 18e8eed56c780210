"""The verdicts as a table that fits any terminal, and says without colour what it says with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from byheart.studies.judging import Finding

_LOOKS = {
    "supported": ("✓", "+", "green"),
    "contradicted": ("✗", "-", "red"),
    "inconclusive": ("?", "?", "yellow"),
}
_ROOM_FOR_WORDS = 72
_ROOM_FOR_INTERVALS = 56


def print_verdicts(findings: Sequence[Finding], console: Console) -> None:
    """Print one row per finding, leaving out columns that do not fit; reasons; and the tally."""
    width = console.width
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("verdict" if width >= _ROOM_FOR_WORDS else "", no_wrap=True)
    table.add_column("claim", overflow="fold")
    table.add_column("estimate", justify="right", no_wrap=True)
    if width >= _ROOM_FOR_INTERVALS:
        table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for finding in findings:
        cells = [
            _verdict(finding.verdict, console, words=width >= _ROOM_FOR_WORDS),
            Text(finding.claim),
            Text(_number(finding.estimate)),
        ]
        if width >= _ROOM_FOR_INTERVALS:
            cells.append(Text(_interval(finding.ci)))
        table.add_row(*cells, Text(str(finding.n)))
    console.print(table)
    console.print()
    for finding in findings:
        if finding.reasons:
            line = Text.assemble((finding.claim, "bold"), ": ", "; ".join(finding.reasons))
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
    if any(finding.reasons for finding in findings):
        console.print()
    console.print(_tally(findings, console))


def _verdict(verdict: str, console: Console, *, words: bool) -> Text:
    sign, plain, colour = _LOOKS[verdict]
    mark = sign if console.encoding.lower().startswith("utf") else plain
    return Text(f"{mark} {verdict}" if words else mark, style=colour)


def _tally(findings: Sequence[Finding], console: Console) -> Text:
    text = Text()
    for verdict in _LOOKS:
        if text:
            text.append(", ")
        count = sum(finding.verdict == verdict for finding in findings)
        text.append(f"{count} ")
        text.append(_verdict(verdict, console, words=True))
    return text


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _interval(ends: tuple[float, float] | None) -> str:
    return "none" if ends is None else f"[{_number(ends[0])}, {_number(ends[1])}]"
