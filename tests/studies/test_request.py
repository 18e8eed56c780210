"""What was asked for is checked before anything is trained."""

from pathlib import Path

import numpy as np
import pytest

from byheart.errors import InputError
from byheart.studies.registry import STUDIES, claims
from byheart.studies.request import make_request


def test_nothing_named_asks_for_every_claim_on_the_preset_s_own_data() -> None:
    request = make_request()
    assert request.claims == tuple(claim.id for claim in claims())
    assert request.studies == STUDIES
    assert request.source == request.setting.data.name == "digits"
    assert request.setting.seeds == request.setting.preset.seeds


def test_claims_come_in_the_order_of_the_page() -> None:
    assert make_request(["csr-noise", "time-order"]).claims == ("time-order", "csr-noise")


def test_facts_of_the_data_are_those_of_the_data_set() -> None:
    request = make_request()
    facts, dataset = request.setting.data, request.dataset
    assert facts.fingerprint == dataset.fingerprint
    assert facts.examples == len(dataset)
    assert facts.shape == (8, 8)
    assert len(facts.classes) == 10


def test_each_trial_is_planned_once() -> None:
    keys = [trial.key for trial in make_request(seeds=1).trials]
    assert len(keys) == len(set(keys))


def test_the_command_asks_for_the_same_again() -> None:
    assert make_request().command() == ("byheart", "study", "--preset", "quick")
    assert make_request(["csr-noise"], seeds=4).command("--out", "x") == (
        *("byheart", "study", "csr-noise", "--preset", "quick", "--seeds", "4"),
        *("--out", "x"),
    )


@pytest.mark.parametrize("seeds", [0, -3])
def test_fewer_than_one_seed_is_refused(seeds: int) -> None:
    with pytest.raises(InputError, match=f"--seeds is {seeds}: ask for at least 1"):
        make_request(seeds=seeds)


def test_the_most_seeds_are_four_times_the_first_and_stand_in_the_command() -> None:
    request = make_request(["csr-noise"], until_decided=True)
    assert request.most_seeds == 4 * request.setting.seeds == 48
    assert request.command()[-3:] == ("--until-decided", "--most-seeds", "48")
    assert make_request(["csr-noise"]).most_seeds is None


@pytest.mark.parametrize("most", [8, 12, 23])
def test_too_few_seeds_for_a_second_look_are_refused(most: int) -> None:
    with pytest.raises(InputError, match=f"--most-seeds is {most}: .* ask for at least 24"):
        make_request(until_decided=True, most_seeds=most)


def test_the_most_seeds_need_until_decided() -> None:
    with pytest.raises(InputError, match="--most-seeds goes with --until-decided"):
        make_request(most_seeds=48)


def test_too_little_data_names_the_class_that_is_short(tmp_path: Path) -> None:
    y = np.repeat([0, 1], [500, 60])
    x = np.random.default_rng(0).random((len(y), 6), dtype=np.float32)
    np.savez(tmp_path / "lopsided.npz", x=x, y=y)
    source = str(tmp_path / "lopsided.npz")
    with pytest.raises(InputError, match=r"too small for preset 'quick': .*class '1' has 60"):
        make_request(source=source)


def test_enough_data_for_one_claim_need_not_be_enough_for_all(tmp_path: Path) -> None:
    y = np.arange(700) % 2
    x = np.random.default_rng(0).random((len(y), 6), dtype=np.float32)
    np.savez(tmp_path / "middling.npz", x=x, y=y)
    source = str(tmp_path / "middling.npz")
    assert make_request(["randx-binomial"], source=source).setting.data.examples == 700
    with pytest.raises(InputError, match="too small"):
        make_request(["noise-hurts"], source=source)
