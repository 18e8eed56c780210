import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.report.examples import COMMAND, FINGERPRINT, finding, findings, part, records, session
from tests.report.figures import figures, sections

from byheart.charts.figure import Axis, Figure
from byheart.errors import StoreError
from byheart.report.frame import data_uri
from byheart.report.numbers import signs
from byheart.report.study import Section, render, write_findings, write_report
from byheart.studies.judging import Finding


class Text(HTMLParser):
    """Collects what a reader sees: everything outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.seen.append(data)


def read(page: str) -> tuple[str, list[tuple[str, dict[str, str | None]]]]:
    """Return the words of a page, and its tags with their attributes."""
    parser = Text()
    parser.feed(page)
    return " ".join(" ".join(parser.seen).split()), parser.tags


def without_charts(*some: Finding) -> str:
    """Return the words of a page that has findings only."""
    return read(render(session(), records(), some, []))[0]


def test_the_folder_holds_page_findings_and_every_figure(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    drawings = {f"figures/{figure.id}.svg" for figure in figures()}
    assert names == {"report.html", "findings.json"} | drawings


def test_equal_input_gives_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write_report(tmp_path, session(), records(), findings(), sections())
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_the_page_is_small_enough_to_send(folder: Path) -> None:
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_the_first_sentence_says_what_was_run(page_text: str) -> None:
    words, _ = read(page_text)
    for phrase in (
        "byheart tested 15 claims of two papers on memorization with digits (1,797 examples of 8 ",
        "1,304 trials, 8 seeds, 2 min 11 s of training, started 2026-03-14 09:26 UTC",
    ):
        assert phrase in words


def test_the_tally_counts_every_verdict_and_what_was_not_run(page_text: str) -> None:
    words, _ = read(page_text)
    assert "10 supported 2 contradicted 3 inconclusive 1 not run" in words


def test_every_claim_has_a_row_that_links_to_its_section(page_text: str) -> None:
    _, tags = read(page_text)
    links = {attrs.get("href") for tag, attrs in tags if tag == "a"}
    ids = {attrs.get("id") for _, attrs in tags}
    for one in findings():
        assert f"#claim-{one.claim}" in links
        assert f"claim-{one.claim}" in ids


def test_every_link_within_the_page_leads_somewhere(page_text: str) -> None:
    _, tags = read(page_text)
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {(attrs.get("href") or "") for _, attrs in tags}
    assert {t[1:] for t in targets if t.startswith("#")} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(page_text: str) -> None:
    _, tags = read(page_text)
    assert not [attrs for _, attrs in tags if "src" in attrs]
    styles = "".join(re.findall(r"<style>.*?</style>", page_text, re.DOTALL))
    assert "url(" not in styles and "@import" not in styles
    for tag, attrs in tags:
        if tag == "link":
            assert (attrs["href"] or "").startswith("data:")


def test_downloads_are_within_the_file(page_text: str, folder: Path) -> None:
    _, tags = read(page_text)
    links = {attrs["download"]: attrs for tag, attrs in tags if "download" in attrs}
    assert set(links) == {f"{f.id}.{ending}" for f in figures() for ending in ("svg", "csv")}
    for name, attrs in links.items():
        # A script makes the SVG's file from the drawing in the page.
        made_here = (attrs.get("href") or "").startswith("data:text/csv")
        assert made_here if name.endswith("csv") else "hidden" in attrs


def test_every_table_has_scopes(page_text: str) -> None:
    _, tags = read(page_text)
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in tags if tag == "th")


def test_every_criterion_of_a_rule_can_be_unfolded(page_text: str) -> None:
    words, tags = read(page_text)
    assert [tag for tag, _ in tags].count("details") == len(findings())
    assert all(signs(one.rule) in words for f in findings() for one in f.parts)
    assert "Rule and its 4 criteria" in words


def test_how_criteria_combine_is_said() -> None:
    two = [part("a", "above", 0.1, 0.5, 0.1), part("b", "above", 0.1, 0.5, 0.1)]
    every = finding("x", "A17", "s", two)
    some = finding("x", "A17", "s", two, combine="; or ")
    assert "Supported if all of these hold" in without_charts(every)
    assert "Supported if at least one of these holds" in without_charts(some)


def test_reasons_troubles_and_notes_are_shown(page_text: str) -> None:
    words, _ = read(page_text)
    assert "No verdict: most trials were censored." in words
    assert "Trials without a result: 131 trials censored, 1 trial failed." in words
    assert "Trials without a result: 11 trials censored, 3 trials diverged." in words
    assert "In 64 dimensions random inputs are not easier than digits." in words


def test_a_finding_without_an_estimate_says_so(page_text: str) -> None:
    assert "no value" in read(page_text)[0]


def test_not_run_is_not_inconclusive(page_text: str) -> None:
    words, tags = read(page_text)
    states = [a["data-verdict"] for _, a in tags if "data-verdict" in a]
    assert states.count("not-run") == 1
    assert states.count("inconclusive") == 3
    assert "Not part of this run." in words


def test_the_rule_and_both_papers_are_in_the_page(page_text: str) -> None:
    words, _ = read(page_text)
    for phrase in ("bootstrap", "sign-flip", "Holm", "arXiv 1706.05394", "OpenReview rJv6ZgHYg"):
        assert phrase in words
    assert COMMAND in words


def test_settings_seeds_versions_and_cost_are_in_the_page(page_text: str) -> None:
    words, _ = read(page_text)
    assert "levels 0, 0.25, 0.5, 0.75, 1" in words
    assert "torch 2.13.0" in words
    assert "912 reached 100% training accuracy" in words
    assert FINGERPRINT in words


def test_without_findings_there_is_still_a_page() -> None:
    words = without_charts()
    assert "0 claims of two papers" in words


def test_a_finding_outside_any_section_is_shown_without_a_link() -> None:
    page = render(session(), records(), findings()[:1], [])
    assert "#claim-easy-examples" not in page
    assert "easy-examples" in page


def test_a_figure_without_points_says_so() -> None:
    empty = Figure("empty", "Nothing", "A17", "Read.", Axis("x"), Axis("y"), ("real",), ())
    words, tags = read(render(session(), records(), [], [Section("One", "A17", (), (empty,))]))
    assert "There is nothing to draw: no trial gave a value." in words
    assert "chart" not in [attrs.get("class") for _, attrs in tags]


@pytest.mark.parametrize("name", ["../evil", "", "a b", "A/B"])
def test_a_figure_id_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    figure = Figure(name, "t", "s", "r", Axis("x"), Axis("y"), (), ())
    with pytest.raises(ValueError, match="names a file"):
        write_report(tmp_path, session(), records(), [], [Section("One", "A17", (), (figure,))])


def test_two_figures_of_one_name_are_refused() -> None:
    figure = Figure("one", "t", "s", "r", Axis("x"), Axis("y"), (), ())
    with pytest.raises(ValueError, match="two figures"):
        render(session(), records(), [], [Section("One", "A17", (), (figure, figure))])


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "out"
    blocked.write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        write_report(blocked, session(), records(), [], [])


def test_findings_survive_the_file(tmp_path: Path) -> None:
    rows = json.loads(write_findings(tmp_path, findings()).read_text(encoding="utf-8"))
    assert [Finding.model_validate(row) for row in rows] == findings()


def test_findings_are_a_list_that_a_person_can_read(tmp_path: Path) -> None:
    text = write_findings(tmp_path, findings()[:1]).read_text(encoding="utf-8")
    assert text.startswith('[\n  {\n    "claim": "easy-examples",\n')


@pytest.mark.parametrize("text", ["a,b\n1,2\n", '<svg a="b">#&%</svg>', "naïve </script>"])
def test_a_link_holds_the_whole_text(text: str) -> None:
    link = data_uri(text, "text/csv")
    assert unquote(link.removeprefix("data:text/csv;charset=utf-8,")) == text
    assert not set('"<>#& \n') & set(link)
