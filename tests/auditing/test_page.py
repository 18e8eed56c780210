"""From an audit to its page."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.auditing.audits import calibration, made_up, onset
from tests.auditing.trainings import tracked

import byheart
from byheart.auditing.figures import belief_figure, onset_figure
from byheart.errors import InputError, StoreError


def test_the_page_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    path = made_up().to_html(str(tmp_path / "new" / "page.html"), about={"Network": "mine"})
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "new" / "page.html"
    assert "60 of 300 labels look wrong" in text
    assert "<dd>mine</dd>" in text
    assert 'id="onset"' in text and 'id="belief"' in text and 'id="map"' in text


def test_an_audit_of_a_tracker_has_a_page_without_what_is_not_known(tmp_path: Path) -> None:
    text = byheart.Audit.from_tracker(tracked()[0]).to_html(tmp_path / "page.html").read_text()
    assert "The most suspect examples" in text
    assert 'id="onset"' not in text and 'id="belief"' not in text
    assert 'alt="example ' not in text


def test_texts_must_be_one_per_example(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="texts must be one per example: 300, got 2"):
        made_up().to_html(tmp_path / "page.html", texts=["a", "b"])
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"page\.html"):
        made_up().to_html(tmp_path / "file" / "page.html")


def test_the_onset_is_marked_with_its_interval() -> None:
    figure = onset_figure(onset())
    assert figure.span is not None
    assert (figure.span.low, figure.span.at, figure.span.high) == (3, 4, 5)
    assert [point.x for point in figure.points] == [1, 2, 3, 4, 5, 6]
    assert "90% interval [3, 5]" in figure.reading
    assert "does not clearly fall" in onset_figure(onset(reached=False)).reading


def test_precision_and_recall_are_drawn_with_their_intervals() -> None:
    figure = belief_figure(calibration(60, 300))
    assert {point.series for point in figure.points} == {"precision", "recall"}
    assert all(point.low <= point.y <= point.high for point in figure.points)
    assert figure.span is not None and figure.span.at == 60
    assert figure.level == 0.9


def test_a_list_of_none_is_not_marked() -> None:
    figure = belief_figure(calibration(0, 300))
    assert figure.span is None
    assert "line" not in figure.reading


def test_the_page_does_not_change_the_audit(tmp_path: Path) -> None:
    audit = made_up()
    before = audit.table.copy()
    replace(audit, notes=()).to_html(tmp_path / "page.html")
    assert audit.table.equals(before)
