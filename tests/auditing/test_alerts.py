"""What an audit says first."""

from dataclasses import replace

from tests.auditing.audits import calibration, made_up, onset
from tests.auditing.trainings import tracked

import byheart
from byheart.auditing.alerts import alerts
from byheart.auditing.calibration import Estimate


def said(audit: byheart.Audit) -> list[tuple[str, str]]:
    return [(alert.kind, alert.text) for alert in alerts(audit)]


def test_wrong_labels_are_counted_with_what_to_expect_of_the_list() -> None:
    kind, text = said(made_up())[0]
    assert kind == "warning"
    assert text == (
        "60 of 300 labels look wrong: of this list 91% [83%, 97%] probably are, and it holds "
        "80% [70%, 90%] of all wrong labels. In all, an estimated 68 [55, 80] of 300 labels are "
        "wrong"
    )


def test_no_list_is_well_if_few_labels_can_be_wrong() -> None:
    sure = calibration(0, 300, mislabelled=Estimate(3.2, 0.0, 9.0))
    found = said(made_up(share=0.0, calibration=sure))
    none = "No list could be made of which 90% are wrong: none is flagged. In all, an estimated "
    assert ("good", f"{none}3 [0, 9] of 300 labels are wrong") in found


def test_no_list_tells_little_if_many_labels_may_be_wrong() -> None:
    (text,) = (text for kind, text in said(made_up(share=0.0)) if "No list" in text)
    assert text.endswith(
        "68 [55, 80] of 300 labels are wrong: that tells little; train longer, or with more seeds"
    )
    assert not [kind for kind, text in said(made_up(share=0.0)) if kind == "good"]


def test_one_label_is_singular() -> None:
    audit = made_up(share=0.003)
    assert "1 of 300 labels looks wrong" in said(audit)[0][1]


def test_onset_says_what_stopping_gains() -> None:
    assert (
        "warning",
        "Memorization sets in at epoch 4 [3, 5] of 6: from there on, accuracy on held-out examples "
        "falls. Stopping there gains 3.0 points [1.2, 5.0]",
    ) in said(made_up())
    kinds = {text: kind for kind, text in said(made_up(onset=onset(reached=False)))}
    assert kinds["Accuracy on held-out examples is highest at epoch 4 [3, 5] of 6"] == "good"


def test_conflicts_are_counted_in_pairs() -> None:
    assert ("warning", "3 pairs of examples are nearly the same, labelled differently") in said(
        made_up()
    )
    audit = made_up()
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


def test_the_wanted_precision_is_that_which_was_asked_for() -> None:
    strict = calibration(0, 300, wanted=0.99)
    assert any("of which 99% are wrong" in text for _, text in said(made_up(calibration=strict)))
