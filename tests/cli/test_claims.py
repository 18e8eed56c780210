"""``byheart claims``."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from byheart.studies import registry

Run = Callable[..., Any]


def test_every_claim_is_listed_with_its_rule(byheart: Run) -> None:
    listed = json.loads(byheart("claims", "--json").out)
    assert [row["claim"] for row in listed] == [claim.id for claim in registry.claims()]
    assert all(row["source"] and row["statement"] and row["rule"] for row in listed)


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_list_fits_the_terminal(
    byheart: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = byheart("claims").out
    assert max(len(line) for line in text.splitlines()) <= int(columns)
    assert all(claim.id in text for claim in registry.claims())
