"""Choosing a strength on some seeds and judging it on others; orders of training curves."""

from __future__ import annotations

import numpy as np
import pytest
from tests.studies import planted_regularizers
from tests.studies.simulated import Change, changed, digits, tiny_setting

from byheart.record import Record
from byheart.statistics.decide import decide
from byheart.statistics.inference import sign_flip_p
from byheart.studies import figure10_11, regularizing
from byheart.studies.base import Records, Setting
from byheart.studies.conditions import RANDY, REAL
from byheart.studies.presets import PRESETS
from byheart.studies.regularizing import (
    ADVERSARIAL,
    DROPOUT,
    PLAIN,
    READINGS,
    REGULARIZERS,
    StrengthArm,
    StrengthEffect,
    choose,
    crossfit,
    least_gain,
)
from byheart.trial import MLP, Trial

SEEDS = 12
ALL = np.ones(SEEDS, dtype=bool)


def effect(name: str, drop: object, gain: object, *, seeds: int = SEEDS) -> StrengthEffect:
    own = np.broadcast_to(np.asarray(gain, dtype=float), seeds)
    drops = np.broadcast_to(np.asarray(drop, dtype=float), seeds)
    return StrengthEffect(StrengthArm(name), drops, {"best": own, "final": own})


def noise(rng: np.random.Generator, deviation: float) -> np.ndarray:
    return rng.normal(0, deviation, SEEDS)


def test_the_largest_drop_among_harmless_strengths_is_chosen() -> None:
    weak, right, strong = effect("a", 0.1, 0.0), effect("b", 0.4, -0.009), effect("c", 0.9, -0.011)
    assert choose([weak, right, strong], "best", ALL) == (right, True)


def test_a_strength_must_be_shown_to_be_harmless_not_only_look_so() -> None:
    sure = effect("sure", 0.1, 0.0)
    unsure = effect("unsure", 0.9, np.tile([0.05, -0.05], SEEDS // 2))
    assert choose([sure, unsure], "best", ALL)[0] is sure


def test_without_a_harmless_strength_the_least_harmful_is_judged() -> None:
    bad, worse = effect("bad", 0.1, -0.05), effect("worse", 0.9, -0.2)
    assert choose([worse, bad], "best", ALL) == (bad, False)
    found = dict.fromkeys(REGULARIZERS, (bad, worse))
    values, _ = figure10_11._gap(found)
    assert np.allclose(values[figure10_11._gain("best")], -0.05)
    compared = figure10_11._dropout_comparisons(found)
    assert all(not values.any() for values in compared.values()), "no drop without harm"


@pytest.mark.parametrize("missing", ["drop", "gain"])
def test_a_strength_that_diverged_is_not_chosen(missing: str) -> None:
    gap = np.where(np.arange(SEEDS) == 3, np.nan, 0.0)
    values = {"drop": 0.9, "gain": 0.0} | {missing: gap}
    gone, other = effect("gone", values["drop"], values["gain"]), effect("other", 0.1, 0.0)
    assert choose([gone, other], "best", ALL) == (other, True)


def test_the_bound_is_that_of_a_one_sided_t_test() -> None:
    values = np.array([0.01, 0.02, 0.03, 0.02])
    assert least_gain(values) == pytest.approx(0.02 - 2.353363 * values.std(ddof=1) / 2)
    assert least_gain(values[:1]) == -np.inf


def test_each_half_of_the_seeds_is_judged_at_the_strength_that_the_other_chose() -> None:
    even = np.arange(SEEDS) % 2 == 0
    # What helps even seeds alone is chosen by them, and judged on odd seeds, where it does nothing.
    lucky, steady = effect("lucky", np.where(even, 0.9, 0.0), 0.0), effect("steady", 0.2, 0.0)
    choices = crossfit([lucky, steady], "best")
    assert [choice.effect for choice in choices] == [steady, lucky]
    values, names = figure10_11._gap({"a": [lucky], "b": [steady]})
    drop = values[figure10_11._drop("best")]
    np.testing.assert_array_equal(drop, np.where(even, 0.2, 0.0))
    assert "steady and lucky (by best epoch)" in names


def null_effects(rng: np.random.Generator) -> dict[str, tuple[StrengthEffect, ...]]:
    """Return regularizers of which no strength does anything."""
    return {
        name: tuple(effect(name, noise(rng, 0.05), noise(rng, 0.004)) for _ in range(4))
        for name in REGULARIZERS
    }


def test_the_luck_of_the_best_of_many_strengths_is_gone_on_other_seeds() -> None:
    rng, runs = np.random.default_rng(1), 100
    fitted, naive, significant = [], [], 0
    for _ in range(runs):
        found = null_effects(rng)
        every = [one for own in found.values() for one in own]
        drop = figure10_11._gap(found)[0][figure10_11._drop("best")]
        fitted.append(drop.mean())
        naive.append(choose(every, "best", ALL)[0].drop.mean())
        significant += drop.mean() > 0 and sign_flip_p(drop) <= 0.05
    assert abs(np.mean(fitted)) < 5 * np.std(fitted) / runs**0.5
    assert np.mean(naive) > 0.02
    assert significant <= 0.05 * runs


def test_regularizers_that_do_nothing_are_hardly_ever_told_apart() -> None:
    rng, runs, wrong = np.random.default_rng(2), 100, 0
    for _ in range(runs):
        compared = figure10_11._dropout_comparisons(null_effects(rng)).values()
        wrong += all(values.mean() > 0 and sign_flip_p(values) <= 0.05 for values in compared)
    assert wrong <= 0.05 * runs


@pytest.mark.parametrize(
    ("other", "expected"),
    [([1.0, 2, 3, 4], 1.0), ([4.0, 3, 2, 1], -1.0), ([1.0, 1, 2, 2], 0.894427)],
)
def test_rank_correlation_counts_ties_by_their_mean_rank(
    other: list[float], expected: float
) -> None:
    one = np.array([0.1, 0.2, 0.3, 0.9])
    assert figure10_11.rank_correlation(one, np.array(other)) == pytest.approx(expected)


@pytest.mark.parametrize("other", [[1.0, 1, 1], [1.0, np.nan, 2]])
def test_no_order_gives_no_rank_correlation(other: list[float]) -> None:
    assert np.isnan(figure10_11.rank_correlation(np.arange(3.0), np.array(other)))


@pytest.fixture(scope="module", params=PRESETS)
def of_preset(request: pytest.FixtureRequest) -> Setting:
    return Setting(PRESETS[request.param], tiny_setting(digits()).data, seeds=2)


def test_strengths_lie_in_the_papers_ranges_and_real_and_random_labels_are_paired(
    of_preset: Setting,
) -> None:
    largest = {
        "dropout": 0.9, "input_dropout": 0.9, "input_noise": 5, "hidden_noise": 0.3,
        "weight_decay": 1, "adversarial_weight": 0.7,
    }  # fmt: skip
    for own in (arm for strengths in regularizing.arms(of_preset).values() for arm in strengths):
        assert all(0 < value <= largest.get(name, 1) for name, value in own.numbers), own.name
    for arm in (PLAIN, *regularizing.arms(of_preset)[ADVERSARIAL]):
        for real, randy in zip(
            regularizing.trials(of_preset, arm, REAL),
            regularizing.trials(of_preset, arm, RANDY),
            strict=True,
        ):
            assert real.algorithm == randy.algorithm
            assert real.seed == randy.seed == real.data.seed == randy.data.seed
            assert (real.data.labels, randy.data.labels) == (0, 1)


def test_all_six_regularizers_are_there_with_names_of_their_own(of_preset: Setting) -> None:
    found = regularizing.arms(of_preset)
    assert tuple(found) == REGULARIZERS
    names = [arm.name for strengths in found.values() for arm in strengths]
    assert len(set(names)) == len(names)
    for number, name in zip(
        planted_regularizers.STRENGTHS[1:3], (DROPOUT, "input dropout"), strict=True
    ):
        assert all(one.numbers[0][0] == number for one in found[name])


def test_the_network_is_that_of_the_setting_and_only_the_regularizer_changes(
    of_preset: Setting,
) -> None:
    plain = regularizing.trials(of_preset, PLAIN, REAL)[0].algorithm
    assert plain.network == MLP(hidden=of_preset.preset.regularizers.hidden)
    for strengths in regularizing.arms(of_preset).values():
        for arm in strengths:
            own = regularizing.trials(of_preset, arm, REAL)[0].algorithm
            assert own == plain.model_copy(update=dict(arm.numbers)) != plain


def test_both_readings_are_judged_by_both_claims() -> None:
    gap, best, _ = figure10_11.Figure10And11.claims
    for reading in READINGS:
        for claim, count in ((gap, 2), (best, 2)):
            named = [c for c in claim.rule.criteria if f"{reading} epoch" in c.name]
            assert len(named) == count


def findings(change: Change) -> dict[str, str]:
    """Return the verdict on each claim by itself, over records made from nothing."""
    setting = tiny_setting(digits(), seeds=SEEDS)
    study, rng = figure10_11.Figure10And11(), np.random.default_rng(3)
    nothing = {"accuracy.epoch": np.array(regularizing.epochs(setting))}
    records = {
        trial.key: change(Record(trial, "budget", 14, nothing), trial, rng)
        for trial in study.plan(setting)
    }
    evidence = study.judge(Records(records), setting)
    verdicts = {}
    for claim in study.claims:
        [judgement] = decide([(claim.id, claim.rule, evidence[claim.id])])
        verdicts[claim.id] = judgement.verdict
    return verdicts


def test_regularizers_that_only_add_noise_support_nothing() -> None:
    def alike(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        shape = (2, len(record.arrays["accuracy.epoch"]))
        train, validation = 0.8 + rng.normal(0, 0.01, shape)
        return changed(record, accuracy_train=train, accuracy_validation=validation)

    verdicts = findings(alike)
    assert "supported" not in verdicts.values()
    # A drop in training accuracy of 10 points or more is ruled out.
    assert verdicts["regularizer-gap"] == "contradicted"
