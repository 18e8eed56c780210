"""Bisection finds what asking everywhere finds, with as many questions as there are rounds."""

from hypothesis import given
from hypothesis import strategies as st
from tests.reference.capacity import last_that_holds

from byheart.studies.capacity import bisect, bisection_grid


@given(st.integers(0, 200), st.integers(-1, 200))
def test_on_a_monotone_example_it_finds_what_an_exhaustive_search_finds(
    size: int, last: int
) -> None:
    def holds(index: int) -> bool:
        return index <= last

    search = bisect(holds, size)
    assert search.last == last_that_holds(holds, size)
    assert len(set(search.asked)) == len(search.asked)
    assert all(0 <= index < size for index in search.asked)


@given(st.integers(1, 7), st.data())
def test_every_search_takes_exactly_its_rounds(rounds: int, data: st.DataObject) -> None:
    size = 2**rounds - 1
    answers = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    search = bisect(answers.__getitem__, size)
    assert len(search.asked) == rounds
    # Not monotone, perhaps: then it is a place where "holds" turns into "holds not".
    assert search.last is not None
    assert search.last == -1 or answers[search.last]
    assert search.last == size - 1 or not answers[search.last + 1]


@given(st.integers(1, 6), st.data())
def test_it_stops_at_the_first_answer_that_is_missing_and_then_goes_on_the_same_way(
    rounds: int, data: st.DataObject
) -> None:
    size = 2**rounds - 1
    last = data.draw(st.integers(-1, size - 1))
    full = bisect(lambda index: index <= last, size).asked
    for known in range(rounds):
        given_so_far = full[:known]
        search = bisect(lambda i, g=given_so_far: i <= last if i in g else None, size)
        assert search.last is None
        assert search.asked == full[: known + 1]


def test_a_grid_has_both_ends_and_even_steps_in_the_logarithm() -> None:
    assert bisection_grid(100, 800, 2) == (100, 283, 800)
    assert bisection_grid(100, 800, 3) == (100, 141, 200, 283, 400, 566, 800)
