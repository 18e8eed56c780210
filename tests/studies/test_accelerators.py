"""Planning for an accelerator that is not there."""

import pytest

from byheart.errors import InputError
from byheart.studies.accelerators import ACCELERATORS, UTILISATION, find_accelerator


@pytest.mark.parametrize("text", ["RTX 4090", "rtx4090", "rtx-4090", "RTX_4090"])
def test_a_name_is_found_however_it_is_written(text: str) -> None:
    assert find_accelerator(text).name == "RTX 4090"


def test_every_name_finds_itself() -> None:
    assert [find_accelerator(one.name) for one in ACCELERATORS] == list(ACCELERATORS)


def test_a_number_is_a_speed() -> None:
    found = find_accelerator("60")
    assert found.speed == pytest.approx(60e12 * UTILISATION)
    assert found.gib is None


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "A1000000", ""])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"GPU|--gpu"):
        find_accelerator(text)
