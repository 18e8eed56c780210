from __future__ import annotations

import random

import pytest

from byheart.errors import InputError
from byheart.training.packs import FOOTPRINTS, find_device, make_packs, trial_size
from byheart.trial import CNN, MLP, Algorithm, DataFacts, Trial


def trial(seed: int, *, hidden: tuple[int, ...] = (16,), train: int = 100, **data: float) -> Trial:
    return Trial(
        data=DataFacts(fingerprint="f", train=train, validation=10, seed=seed, **data),
        algorithm=Algorithm(network=MLP(hidden=hidden), learning_rate=0.1, batch_size=32, epochs=3),
        seed=seed,
    )


def test_packs_mix_seeds_corruptions_and_numeric_hyperparameters() -> None:
    one = trial(0)
    other = trial(1, inputs=0.5, labels=0.2)
    numbers = {"learning_rate": 0.3, "momentum": 0.9, "weight_decay": 0.01, "decay_every": 2}
    changed = one.model_copy(update={"algorithm": one.algorithm.model_copy(update=numbers)})
    (pack,) = make_packs([one, other, changed], shape=(64,), classes=10)
    assert {t.key for t in pack.trials} == {one.key, other.key, changed.key}


def test_packs_part_what_cannot_train_as_one_program() -> None:
    trials = [trial(0), trial(0, hidden=(32,)), trial(0, train=50)]
    assert len(make_packs(trials, shape=(64,), classes=10)) == 3


def test_packs_do_not_depend_on_the_order_or_repetition_of_trials() -> None:
    trials = [trial(seed, inputs=level) for seed in range(40) for level in (0.0, 0.5)]
    packs = make_packs(trials, shape=(64,), classes=10)
    shuffled = random.Random(0).sample(trials * 2, 2 * len(trials))
    assert make_packs(shuffled, shape=(64,), classes=10) == packs
    assert sum(len(pack.trials) for pack in packs) == len(trials)
    assert max(len(pack.trials) for pack in packs) <= FOOTPRINTS["cpu"].replicas


def test_the_weights_of_a_pack_fit_the_cache() -> None:
    trials = [trial(seed, hidden=(512, 512)) for seed in range(20)]
    packs = make_packs(trials, shape=(784,), classes=10)
    each = 4 * trial_size(trials[0], (784,), 10).parameters
    assert max(len(pack.trials) for pack in packs) == FOOTPRINTS["cpu"].bytes // each
    sizes = [len(pack.trials) for pack in packs]
    assert max(sizes) - min(sizes) <= 1


def test_packs_for_a_gpu_are_larger() -> None:
    trials = [trial(seed, hidden=(512, 512)) for seed in range(40)]
    (pack,) = make_packs(trials, shape=(784,), classes=10, device="cuda")
    assert len(pack.trials) == 40


def test_a_network_larger_than_the_cache_trains_alone() -> None:
    packs = make_packs([trial(s, hidden=(4096, 4096)) for s in range(3)], shape=(784,), classes=10)
    assert [len(pack.trials) for pack in packs] == [1, 1, 1]


def test_a_pack_is_cut_where_its_activations_grow_too_large() -> None:
    def packed(channels: int) -> int:
        plain = trial(0)
        network = CNN(channels=(channels,), dense=(), kernel=3)
        algorithm = plain.algorithm.model_copy(update={"network": network})
        trials = [
            plain.model_copy(update={"algorithm": algorithm, "seed": seed}) for seed in range(16)
        ]
        return len(make_packs(trials, shape=(28, 28), classes=4))

    assert packed(4) == 1
    assert packed(32) == 3, "a batch of one makes 10 MB"


@pytest.mark.parametrize(("device", "home"), [("cuda", "cuda"), ("mps", "backends.mps")])
@pytest.mark.parametrize("there", [True, False])
def test_an_accelerator_is_found_only_where_it_is(
    monkeypatch: pytest.MonkeyPatch, device: str, home: str, there: bool
) -> None:
    monkeypatch.setattr(f"torch.{home}.is_available", lambda: there)
    assert find_device("cpu") == "cpu"
    if there:
        assert find_device(device) == device
    else:
        with pytest.raises(InputError, match=f"'{device}' is not available here: use --device cpu"):
            find_device(device)


def test_an_unknown_device_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        find_device("cuda0")
