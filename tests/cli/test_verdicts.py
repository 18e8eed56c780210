"""The table of verdicts in a terminal."""

import io

import pytest
from rich.console import Console

from byheart.cli.verdicts import print_verdicts
from byheart.statistics.verdict import Verdict
from byheart.studies.judging import Finding


def finding(claim: str, verdict: Verdict, estimate: float | None = 1.25) -> Finding:
    return Finding(
        claim=claim,
        source="A17 Fig 1",
        statement="[red]as it stands[/red]",
        statistic="a slope",
        rule="a slope above 0, by 1 or more",
        estimate=estimate,
        ci=None if estimate is None else (estimate - 0.5, estimate + 0.5),
        ci_corrected=None,
        null=0.0,
        n=10,
        p=0.01,
        p_holm=0.02,
        verdict=verdict,
        reasons=(),
        parts=(),
        censored=0,
        diverged=0,
        failed=0,
        note="",
        preset="quick",
        data="digits",
        seconds=1.0,
    )


FINDINGS = [
    finding("easy-examples", "supported"),
    finding("time-order", "contradicted"),
    finding("csr-memorization", "inconclusive", estimate=None),
]


def printed(width: int = 80, *, colour: bool = False, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    system = "truecolor" if colour else None
    print_verdicts(FINDINGS, Console(file=stream, width=width, color_system=system))
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_the_table_fits_and_names_every_claim(width: int) -> None:
    text = printed(width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert all(one.claim in text for one in FINDINGS)


def test_a_sign_and_a_word_say_what_the_colour_says() -> None:
    rows = printed().splitlines()
    assert "✓ supported" in rows[1]
    assert "✗ contradicted" in rows[2]
    assert "? inconclusive" in rows[3]
    assert rows[-1].strip() == "1 ✓ supported, 1 ✗ contradicted, 1 ? inconclusive"


def test_an_estimate_stands_beside_its_interval_and_n() -> None:
    row = printed().splitlines()[1]
    assert "1.25" in row
    assert "[0.75, 1.75]" in row
    assert row.split()[-1] == "10"


def test_a_claim_without_an_estimate_says_none() -> None:
    assert "none" in printed().splitlines()[3]


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    assert "+ supported" in printed(encoding="ascii")


def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    print_verdicts(FINDINGS, Console(file=stream, force_terminal=True, width=80))
    assert "\x1b[3" not in stream.getvalue()
