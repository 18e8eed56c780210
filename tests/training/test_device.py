"""Devices that are known, and those that are there."""

import pytest

from byheart.errors import InputError
from byheart.training.packs import find_device


def test_the_cpu_is_always_there() -> None:
    assert find_device("cpu") == "cpu"


@pytest.mark.parametrize(("device", "home"), [("cuda", "cuda"), ("mps", "backends.mps")])
@pytest.mark.parametrize("there", [True, False])
def test_an_accelerator_is_found_only_where_it_is(
    monkeypatch: pytest.MonkeyPatch, device: str, home: str, there: bool
) -> None:
    monkeypatch.setattr(f"torch.{home}.is_available", lambda: there)
    if there:
        assert find_device(device) == device
    else:
        with pytest.raises(InputError, match=f"'{device}' is not available here: use --device cpu"):
            find_device(device)


def test_an_unknown_device_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        find_device("cuda0")
