import math
from itertools import pairwise

import pytest
from tests.report.examples import part

from byheart.report.interval import WIDTH, Drawing, draw


def drawing(kind: str, estimate: float, half: float = 0.05) -> Drawing:
    drawn = draw(part("x", kind, 0.1, estimate, half))
    assert drawn is not None
    return drawn


def test_the_estimate_lies_within_its_interval_and_that_within_the_corrected_one() -> None:
    one = drawing("above", 0.5)
    assert one.ci is not None and one.corrected is not None
    assert one.corrected[0] < one.ci[0] < one.estimate < one.ci[1] < one.corrected[1]


@pytest.mark.parametrize(
    ("kind", "open_left", "open_right", "zones"),
    [
        ("above", False, True, 1),
        ("below", True, False, 1),
        ("within", False, False, 1),
        ("differs", True, True, 2),
    ],
)
def test_the_zone_is_where_the_claim_holds(
    kind: str, open_left: bool, open_right: bool, zones: int
) -> None:
    one = drawing(kind, 0.02)
    assert len(one.zones) == zones
    assert (one.zones[0][0] == 0, one.zones[-1][1] == WIDTH) == (open_left, open_right)


def test_an_effect_that_is_large_enough_stands_in_the_zone() -> None:
    one = drawing("above", 0.3)
    assert one.zones[0][0] < one.estimate
    assert one.null < one.zones[0][0]


def test_everything_fits_into_the_drawing() -> None:
    one = drawing("differs", -7.0, 3.0)
    ends = [one.estimate, one.null, *(one.ci or ()), *(one.corrected or ())]
    assert all(0 <= x <= WIDTH for x in (*ends, *(label.x for label in one.labels)))


def test_labels_do_not_run_into_each_other() -> None:
    places = sorted(label.x for label in drawing("within", 40.0).labels)
    assert all(b - a >= 30 for a, b in pairwise(places))


def test_a_criterion_without_a_smallest_effect_is_drawn_without_zones() -> None:
    plain = part("x", "above", 0.1, 0.5, 0.1).model_copy(update={"smallest": None})
    drawn = draw(plain)
    assert drawn is not None and drawn.zones == ()


@pytest.mark.parametrize("estimate", [None, math.nan, math.inf])
def test_no_estimate_is_no_drawing(estimate: float | None) -> None:
    assert draw(part("x", "above", 0.1, estimate)) is None


def test_an_estimate_at_the_null_with_no_spread_is_drawn() -> None:
    one = part("x", "above", 0.0, 0.0)
    drawn = draw(one)
    assert drawn is not None and drawn.estimate == drawn.null


def test_where_the_truth_can_be_is_drawn_on_the_same_scale() -> None:
    one = draw(part("x", "above", 0.1, 0.5, 0.05).model_copy(update={"bracket": (0.5, 3.0)}))
    assert one is not None and one.bracket is not None and one.ci is not None
    assert one.bracket[0] == one.estimate
    assert one.ci[1] < one.bracket[1] < WIDTH
    assert drawing("above", 0.5).bracket is None
