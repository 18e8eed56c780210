"""What an audit says first: alerts and notes."""

from dataclasses import replace

from tests.auditing.audits import calibration, made_up, onset, table
from tests.auditing.trainings import tracked

import byheart
from byheart.statistics.estimate import Estimate

ASSUMED = "This assumes that the data's own mistakes resemble the planted flips"


def said(audit: byheart.Audit) -> list[tuple[str, str]]:
    return [(alert.kind, alert.text) for alert in audit.alerts]


def test_wrong_labels_are_counted_with_what_to_expect_of_the_list() -> None:
    kind, text = said(made_up())[0]
    assert kind == "warning"
    assert text == (
        "60 of 300 labels are flagged as wrong. Estimated precision of this list: 91% [83%, 97%]. "
        "Estimated recall: 80% [70%, 90%] of all wrong labels. Estimated wrong labels in all: "
        f"68 [55, 80] of 300. {ASSUMED}"
    )
    assert "1 of 300 labels is flagged" in said(made_up(share=0.003))[0][1]


def test_an_empty_list_is_no_proof_that_all_labels_are_right() -> None:
    sure = calibration(0, 300, wanted=0.99, mislabelled=Estimate(3.2, 0.0, 9.0))
    none = "No example is flagged: no list reaches a precision of 99%. Estimated wrong labels"
    alerts = said(made_up(share=0.0, calibration=sure))
    assert ("note", f"{none} in all: 3 [0, 9] of 300. {ASSUMED}") in alerts


def test_a_wide_interval_asks_for_longer_training() -> None:
    (text,) = (text for _, text in said(made_up(share=0.0)) if "No example" in text)
    assert "68 [55, 80] of 300" in text
    assert text.endswith("Train longer, or with more seeds, for a narrower interval")


def test_onset_says_what_stopping_gains() -> None:
    assert (
        "warning",
        "Memorization sets in at epoch 4 [3, 5] of 6: from there on, accuracy on held-out examples "
        "falls. Stopping there gains 3.0 points [1.2, 5.0]",
    ) in said(made_up())
    kinds = {text: kind for kind, text in said(made_up(onset=onset(reached=False)))}
    assert kinds["Accuracy on held-out examples is highest at epoch 4 [3, 5] of 6"] == "good"


def test_conflicts_are_counted_in_pairs() -> None:
    assert ("warning", "3 pairs of near-duplicates have different labels") in said(made_up())
    audit = made_up()
    rows = table(20, pairs=0)
    rows.loc[[3, 15, 9], "conflicts_with"] = [15, 3, 10]
    # A pair counts once, and the most suspect leads.
    assert made_up(table=rows).conflicts == [(3, 15), (9, 10)]
    alone = audit.table.assign(conflicts_with=-1)
    assert not any("pair" in text for _, text in said(replace(audit, table=alone)))


def test_warnings_come_before_what_is_well_and_remarks() -> None:
    kinds = [kind for kind, _ in said(made_up(onset=onset(reached=False)))]
    assert kinds == ["warning", "warning", "good", "note"]


def test_without_flips_the_notes_say_so() -> None:
    audit = byheart.Audit.from_tracker(tracked()[0])
    assert audit.calibration is None
    texts = [text for kind, text in said(audit) if kind == "note"]
    assert any("nothing is flagged" in text for text in texts)
    assert {kind for kind, _ in said(audit)} == {"note"}


def test_a_notebook_shows_alerts_and_rows_with_names_escaped() -> None:
    shown = made_up(name="<b>mine</b>", classes=("<i>", *"123456789"))._repr_html_()
    assert "&lt;b&gt;mine" in shown and "&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert "Flagged examples (10 of 60)" in shown
    assert "The most suspect examples (10 of 300)" in made_up(share=0.0)._repr_html_()
