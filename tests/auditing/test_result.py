"""What an audit says first: alerts and notes."""

from dataclasses import replace

import pandas as pd
from tests.auditing.audits import calibration, made_up, onset, table, unreviewed

import byheart
from byheart.statistics.estimate import Estimate


def said(audit: byheart.Audit) -> list[tuple[str, str]]:
    return [(alert.kind, alert.text) for alert in audit.alerts]


def test_wrong_labels_are_counted_with_what_to_expect_of_the_list() -> None:
    (first, text), (second, what), *_ = said(made_up())
    assert first == second == "warning"
    assert text == "Estimated wrong labels: 68 [55, 80] of 300, from 60 reviewed examples"
    assert what == (
        "At least 90% of the 60 examples on the list have a wrong label, with 90% confidence. "
        "Estimated precision: 91% [83%, 97%]. Estimated recall: 80% [70%, 90%] of all wrong labels"
    )
    notes = [text for kind, text in said(made_up()) if kind == "note"]
    assert (
        "If 5% of all verdicts were wrong, the estimate would be 59 [44, 72] wrong labels" in notes
    )
    assert (
        "180 more reviews would halve these intervals. The review on the page continues with them"
    ) in notes


def test_a_list_that_is_not_sure_says_so() -> None:
    texts = [text for _, text in said(made_up(calibration=calibration(60, 300, assured=False)))]
    assert any(
        text.startswith("No list has a precision of 90% with 90% confidence. The list has 60")
        for text in texts
    )


def test_without_reviews_the_number_is_unknown_and_the_review_is_asked_for() -> None:
    kind, text = said(made_up(calibration=unreviewed()))[0]
    assert kind == "warning"
    assert text.startswith("How many labels are wrong is unknown: review 20 examples to know")
    assert text.endswith("its precision is unknown")


def test_planted_flips_bound_the_number_or_are_said_to_tell_nothing() -> None:
    def bounds(*most: float) -> str:
        index = pd.Index(["uniform", "confused", "ambiguous"], name="kind")
        kinds = pd.DataFrame({"flips": 30, "most_wrong": most}, index)
        return next(t for _, t in said(made_up(calibration=unreviewed(kinds=kinds))) if "By " in t)

    shares = (
        "at most this share of labels is wrong: 10% if mistakes are random, 12% if mistakes are"
    )
    assert bounds(0.1, 0.12, 0.2).startswith(f"By 90 planted flips, {shares} between confused")
    assert bounds(0.1, 0.12, 0.2).endswith("So at most 60 of 300 labels")
    assert bounds(0.1, 0.12, 0.7).endswith("too wide to tell the number: review some examples")


def test_disagreement_of_reviewers_is_counted() -> None:
    reviews = calibration(60, 300).reviews
    assert reviews is not None
    verdicts = reviews.verdicts.copy()
    verdicts[:3] = "unsure"
    two = replace(reviews, verdicts=verdicts, compared=20, disagreements=3)
    texts = [text for _, text in said(made_up(calibration=calibration(60, 300, reviews=two)))]
    assert any(
        text.startswith("Reviewers were unsure of, or disagree on, 3 examples") for text in texts
    )
    assert "Reviewers disagree on 3 of 20 examples with two verdicts or more" in texts


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
    assert kinds == ["warning"] * 3 + ["good"] + ["note"] * 3


def test_a_notebook_shows_alerts_and_rows_with_names_escaped() -> None:
    shown = made_up(name="<b>mine</b>", classes=("<i>", *"123456789"))._repr_html_()
    assert "&lt;b&gt;mine" in shown and "&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert "Flagged examples (10 of 60)" in shown


def test_a_repr_is_a_few_lines_of_words() -> None:
    head, *alerts = repr(made_up()).splitlines()
    assert head.startswith("Audit of ") and "300 examples" in head
    assert len(alerts) == len(made_up().alerts)
    assert all(line.split(":")[0].strip() in ("warning", "good", "note") for line in alerts)


def test_classes_that_were_never_recognised_are_a_warning() -> None:
    (alert,) = (a for a in made_up(onset=onset(never=(3,))).alerts if "recognise" in a.text)
    assert alert.kind == "warning"
    assert "never recognise a held-out example of '3'" in alert.text


def test_a_precision_whose_interval_is_too_wide_is_unknown() -> None:
    wide = calibration(60, 300, precision=Estimate(0.4, 0.1, 0.8))
    text = " ".join(alert.text for alert in made_up(calibration=wide).alerts)
    assert "The precision is unknown without more reviews: between 10% and 80%" in text
    assert "40%" not in text
