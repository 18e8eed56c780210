"""The page of an audit: what it says, shows, leaves out and limits."""

import csv
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from tests.auditing.audits import calibration, made_up, onset, table, unreviewed
from tests.auditing.trainings import tracked
from tests.report.test_escaping import HOSTILE, Elements
from tests.report.test_page import read

import byheart
from byheart.auditing.page import (
    GALLERY,
    OTHERS,
    PAIRS,
    lists_figure,
    onset_figure,
    render,
    select,
)
from byheart.auditing.review_view import review_view
from byheart.data.dataset import Dataset
from byheart.errors import InputError, StoreError


@pytest.fixture(scope="module")
def page() -> str:
    return render(made_up(), about={"Network": "my.module:network"})


def cards(page: str, kind: str = "example") -> list[int]:
    return [int(i) for i in re.findall(rf'<article class="card [^"]*" id="{kind}-(\d+)"', page)]


def listed(page: str) -> list[dict[str, str]]:
    """Return the rows of the list that the page offers to download."""
    link = re.search(r'download="flagged.csv" href="data:text/csv[^,]*,([^"]*)"', page)
    assert link is not None
    return list(csv.DictReader(io.StringIO(unquote(link[1]))))


def test_alerts_come_first_and_say_what_kind_they_are(page: str) -> None:
    words, _ = read(page)
    assert "warning: Estimated wrong labels: 68 [55, 80] of 300" in words
    assert "note: Classes without examples" in words
    assert words.index("Estimated wrong labels") < words.index("When memorization sets in")


def test_equal_audits_give_equal_bytes(page: str) -> None:
    assert render(made_up(), about={"Network": "my.module:network"}) == page


def test_wrong_labels_are_counted_by_class() -> None:
    rows = {"examples": [100, 200], "wrong": [3.2, 40.4], "wrong_low": [1.0, 30.0]}
    by_class = pd.DataFrame(rows | {"wrong_high": [9.0, 55.0]}, pd.Index([3, 5], name="label"))
    words, _ = read(render(made_up(calibration=calibration(60, 300, by_class=by_class))))
    assert "5 200 40 [30, 55] 3 100 3 [1, 9]" in words


def test_every_flagged_example_has_a_card_in_the_order_of_the_list(page: str) -> None:
    assert cards(page) == list(range(60))
    backwards = made_up(calibration=calibration(60, 300, flagged=np.arange(60)[::-1]))
    assert cards(render(backwards)) == list(range(60))[::-1]


def test_a_card_has_labels_verdict_probability_and_evidence(page: str) -> None:
    words, _ = read(page[page.index('id="example-0"') : page.index('id="example-1"')])
    assert "mislabelled" in words
    assert re.search(r"labelled \d , looks like \d", words)
    assert "P(wrong) 96%, suspicion 3.1" in words
    assert "Before memorization '3' was believed to 81%" in words
    assert "area under the margin" in words


def test_the_list_to_download_has_names_and_all_flagged_examples(page: str) -> None:
    rows = listed(page)
    assert [int(row["id"]) for row in rows] == list(range(60))
    assert rows[0]["label_name"] == rows[0]["label"]
    assert "suggested_name" in rows[0]


def test_without_reviews_the_first_of_the_ranking_are_shown_as_what_they_are() -> None:
    bare = unreviewed()
    page = render(made_up(calibration=bare))
    words, _ = read(page)
    assert cards(page) == bare.flagged.tolist()
    assert "Many of these labels may be correct." in words
    assert "How many labels are wrong is unknown" in words
    assert "Precision and recall of the list" not in words


def test_pictures_are_limited_and_the_page_says_so() -> None:
    audit = made_up(table=table(5000, share=0.1, pairs=100))
    page, review = render(audit), review_view(audit, texts=None)
    words, tags = read(page)
    assert len(cards(page)) == GALLERY
    assert len(cards(page, "other")) == OTHERS
    assert "The page shows 200 of 500; the CSV file has all." in words
    assert "The shade counts all 5,000 examples; 600 have a dot." in words
    assert "The page shows 60 of 100 pairs" in words
    assert all(attrs.get("alt") for tag, attrs in tags if tag == "img")
    assert page.count('alt="example ') == GALLERY + OTHERS + 2 * PAIRS + len(
        review.examples + review.others
    )
    assert len(listed(page)) == 500


def test_a_page_of_many_large_pictures_stays_small() -> None:
    inputs = np.random.default_rng(0).random((1000, 3, 128, 128), dtype=np.float32)
    rows = table(1000, share=0.3)
    dataset = Dataset.from_arrays("large", inputs, rows["label"].to_numpy())
    page = render(made_up(table=rows, dataset=dataset))
    assert len(page) < 14_000_000


def test_absent_parts_are_not_drawn() -> None:
    bare = table(pairs=0)[["label", "suspicion", "p_wrong", "flagged", "suggested", "verdict"]]
    bare = bare.assign(evidence="", conflicts_with=-1)
    page = render(made_up(table=bare, onset=None, calibration=unreviewed(), dataset=None))
    words, tags = read(page)
    ids = {attrs.get("id") for _, attrs in tags}
    assert not ids & {"when", "where", "conflicts", "belief"}
    assert {"alerts", "which", "methods"} <= ids
    assert 'alt="example ' not in page
    assert "All scores" not in words
    assert "area under the margin" not in words.replace("area under the margin, Pleiss", "")


def test_columns_are_explained_if_they_are_there(page: str) -> None:
    assert "Feldman" not in page
    more = table().assign(memorization=0.5, influenced_by=-1, influence=np.nan)
    words, _ = read(render(made_up(table=more.assign(my_own_score=np.float32(0.125)))))
    assert "my own score 0.125" in words
    assert "Feldman and Zhang 2020." in words


def test_texts_and_numbers_stand_in_the_place_of_pictures() -> None:
    texts = [f"the film number {i} " + "x" * 1000 for i in range(300)]
    page = render(made_up(), texts=texts)
    assert 'alt="example ' not in page
    assert "the film number 7 xxx" in page
    assert "x" * 401 not in page
    inputs = np.full((300, 64), 0.25, np.float32)
    dataset = Dataset.from_arrays("numbers", inputs, table()["label"].to_numpy())
    page = render(made_up(dataset=dataset))
    assert 'alt="example ' not in page
    assert "0.25, 0.25" in page
    assert "(64 values)" in page


def test_where_an_example_comes_from_is_on_its_card() -> None:
    files = [f"cats/{i}.png" for i in range(300)]
    assert "cats/59.png" in render(made_up(table=table().assign(file=files)))
    assert "row 1059" in render(made_up(table=table().assign(row=np.arange(300) + 1000)))


def test_an_example_that_was_never_seen_is_not_shown() -> None:
    rows = table(share=0.0)
    unseen = {"suspicion": np.nan, "label": -1, "verdict": "", "suggested": -1}
    rows.loc[0, list(unseen)] = list(unseen.values())
    rows = rows.astype({"label": int, "suggested": int})
    assert 0 not in cards(render(made_up(table=rows)))


def test_the_map_takes_the_next_most_suspect_and_some_at_random() -> None:
    _, others = select(made_up(table=table(3000, share=0.05)))
    near, far = others[: OTHERS // 2], others[OTHERS // 2 :]
    assert near.tolist() == list(range(150, 150 + OTHERS // 2))
    assert len(far) == OTHERS // 2
    assert far.mean() == pytest.approx(1675, abs=200)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_user_names_runs(text: str) -> None:
    rows = table(40).assign(evidence=text, file=text)
    audit = made_up(
        table=rows.assign(**{f"column {text}": 1.0}),
        name=text,
        classes=(text, *"123456789"),
        notes=(text,),
    )
    page = render(audit, texts=[text] * 40, about={text: text})
    parser = Elements()
    parser.feed(page)
    scripts = [attrs.get("type") for tag, attrs in parser.found if tag == "script"]
    assert scripts == ["application/json"] * 3 + ["application/gzip", None]
    assert not [a for _, attrs in parser.found for a in attrs if a.startswith("on")]
    assert "img" not in [tag for tag, _ in parser.found]
    links = [attrs["href"] or "" for _, attrs in parser.found if "href" in attrs]
    assert all(link.startswith(("#", "data:")) for link in links)
    policy = re.search(r"script-src([^;]*)", page)
    assert policy is not None and len(policy[1].split()) == 2


def test_the_table_is_left_as_it_was() -> None:
    rows = table()
    before = rows.copy()
    render(made_up(table=rows))
    pd.testing.assert_frame_equal(rows, before)


def test_the_page_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    path = made_up().to_html(str(tmp_path / "new" / "page.html"), about={"Network": "mine"})
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "new" / "page.html"
    assert "Estimated wrong labels: 68" in text
    assert "<dd>mine</dd>" in text
    assert 'id="onset"' in text and 'id="belief"' in text and 'id="map"' in text


def test_an_audit_of_a_tracker_has_a_page_without_what_is_not_known(tmp_path: Path) -> None:
    text = byheart.Audit.from_tracker(tracked()[0]).to_html(tmp_path / "page.html").read_text()
    assert "Flagged examples" in text
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
    figure = lists_figure(calibration(60, 300))
    assert {point.series for point in figure.points} == {"precision", "recall"}
    assert all(point.low <= point.y <= point.high for point in figure.points)
    assert figure.level == 0.9
