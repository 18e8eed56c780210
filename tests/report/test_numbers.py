import pytest
from tests.report.examples import part

from byheart.report import numbers

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.1344, "0.134"),
        (6.42, "6.42"),
        (9.999, "10.0"),
        (1304.4, "1,304"),
        (-0.611, f"{MINUS}0.611"),
        (1.234e-7, "1.23 \N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT SEVEN}"),
        (2e9, "2 \N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT NINE}"),
        (None, numbers.NOTHING),
        (float("nan"), numbers.NOTHING),
        (float("inf"), numbers.NOTHING),
    ],
)
def test_a_number_has_three_digits_and_a_proper_minus(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


def test_an_estimate_and_its_interval_are_rounded_alike() -> None:
    one = part("x", "above", 0.1, 0.0961, 0.0112)
    places = numbers.decimals(one)
    assert (numbers.number(one.estimate, places), numbers.interval(one.ci, places)) == (
        "0.096",
        "[0.085, 0.108]",
    )


def test_a_wide_interval_needs_no_decimals() -> None:
    assert numbers.decimals(part("x", "above", 1, 812.3, 240.0)) == 0


@pytest.mark.parametrize("half", [0.0, 1e-9, 1e9, float("inf"), float("nan")])
def test_an_interval_without_a_sensible_width_sets_no_decimals(half: float) -> None:
    assert numbers.decimals(part("x", "above", 1, 0.5, half)) is None


def test_a_rounded_zero_has_no_minus() -> None:
    assert numbers.number(-0.0001, 2) == "0.00"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0001, "< 0.001"), (0.0078, "0.0078"), (0.21, "0.21"), (1.0, "1")]
)
def test_a_p_value_is_never_zero(p: float, text: str) -> None:
    assert numbers.p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.42 s"),
        (59.7, "1 min 0 s"),
        (131.4, "2 min 11 s"),
        (5400, "1 h 30 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_time_span_has_two_units(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0.0, 0.2, 1], "0, 0.2, 1"),
        ((), "none"),
        (None, "none"),
        (True, "yes"),
        (-3, f"{MINUS}3"),
        ("cpu", "cpu"),
        (0.3 / 255, "0.001176"),
    ],
)
def test_a_setting_reads_as_it_was_declared(value: object, text: str) -> None:
    assert numbers.plain(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-23T22:50:02+00:00", "2026-11-23 22:50 UTC"),
        ("2026-11-23T23:50:02+01:00", "2026-11-23 22:50 UTC"),
        ("2026-11-23T22:50:02", "2026-11-23 22:50"),
        ("last Tuesday", "last Tuesday"),
    ],
)
def test_a_moment_is_shown_to_the_minute(text: str, shown: str) -> None:
    assert numbers.moment(text) == shown


def test_only_numbers_get_a_minus_sign() -> None:
    assert numbers.signs("between -0.2 and 1e-3, 2017-06-12, l2-norm") == (
        f"between {MINUS}0.2 and 1e-3, 2017-06-12, l2-norm"
    )


def test_a_note_becomes_a_sentence() -> None:
    assert [numbers.sentence(text) for text in ("so it is", "So it is.")] == ["So it is."] * 2


def test_one_seed_is_no_seeds() -> None:
    assert [numbers.counted(n, "seed") for n in (1, 2)] == ["1 seed", "2 seeds"]
    assert [numbers.points(one) for one in (0.01, 0.025)] == ["1 point", "2.5 points"]


@pytest.mark.parametrize(
    ("p", "text"), [(0, "< 1%"), (0.004, "< 1%"), (0.5, "50%"), (0.99, "99%"), (1.0, "> 99%")]
)
def test_no_chance_is_certain(p: float, text: str) -> None:
    assert numbers.chance(p) == text
