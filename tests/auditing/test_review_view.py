"""What the review view shows: which examples, beside which others, with which keys."""

import numpy as np
import torch
from tests.auditing.audits import calibration, made_up, unreviewed

from byheart.auditing.review_view import review_view
from byheart.auditing.reviews import draw_list
from byheart.auditing.verdicts import nearest


def test_the_sample_comes_first_and_then_the_rest_of_the_list() -> None:
    audit = made_up(calibration=unreviewed())
    view = review_view(audit, texts=None)
    ids = [example.card.id for example in view.examples]
    assert view.sample == 100
    assert ids[:100] == audit.to_review().index.tolist()
    left = set(audit.calibration.flagged.tolist()) - set(ids[:100])
    assert set(ids[100:]) == left
    assert len(set(ids)) == len(ids)


def test_reviewed_examples_are_not_shown_again() -> None:
    audit = made_up(calibration=calibration(60, 300))
    view = review_view(audit, texts=None)
    reviewed = audit.calibration.reviews.ids
    assert not np.isin([example.card.id for example in view.examples], reviewed).any()


def test_a_list_is_drawn_stratum_by_stratum_in_random_order() -> None:
    ranking = np.arange(5000)[::-1].copy()
    drawn = draw_list(ranking, ranking[:97], reviewed=ranking[:10])
    assert set(drawn.tolist()) == set(ranking[10:97].tolist())
    places = 4999 - drawn
    assert set(places[: 26 - 10]) == set(range(10, 26))  # the rest of the first stratum
    assert places.tolist() != sorted(places.tolist())


def test_nearest_examples_equal_a_plain_search() -> None:
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    found = nearest(x, torch.tensor([3, 40]), 4)
    for i, row in zip((3, 40), found, strict=True):
        distances = [(float((x[j] - x[i]).norm()), j) for j in range(50) if j != i]
        assert row.tolist() == [j for _, j in sorted(distances)[:4]]


def test_digits_are_their_own_keys_and_other_classes_get_free_ones() -> None:
    digits = review_view(made_up(), texts=None).classes
    assert [choice.key for choice in digits] == list("0123456789")
    names = ("=HYPERLINK(1)", *(f"class {k}" for k in range(11)))
    named = review_view(made_up(classes=names), texts=None).classes
    assert [choice.key for choice in named] == list("1234567890ab")
    assert named[0].written == "0"
    assert named[1].written == "class 0"
