"""What the studies train: plans are pure, share what they can, and fit their claims."""

import pytest
from tests.studies.simulated import digits, tiny_setting

from byheart.errors import InputError
from byheart.studies import dynamics
from byheart.studies.base import Setting, SourceFacts
from byheart.studies.capacity import bisection_grid
from byheart.studies.presets import PRESETS, find_preset, log_spaced
from byheart.studies.registry import STUDIES, chosen_claims, claims, studies_of
from byheart.studies.settings import Preset
from byheart.trial import AccuracyProbe, CriticalProbe

OF_BOTH_PAPERS = [
    "easy-examples", "randx-binomial", "randy-patterns", "first-layer",
    "gini-labels", "gini-unique", "sensitivity-norm", "per-class-sensitivity",
    "capacity-validation", "capacity-noise", "time-capacity", "time-size", "time-order",
    "csr-noise", "csr-growth", "csr-train-fall", "csr-radius", "noise-hurts", "patterns-first",
    "csr-memorization", "regularizer-gap", "dropout-best", "curve-order", "capacity-data",
    # Three readings of "at convergence".
    "sharpness-noise", "sharpness-noise-epochs", "sharpness-noise-loss",
]  # fmt: skip


@pytest.fixture(scope="module", params=PRESETS)
def of_preset(request: pytest.FixtureRequest) -> Setting:
    tiny = tiny_setting(digits())
    return Setting(PRESETS[request.param], tiny.data, seeds=3)


def test_every_claim_of_both_papers_is_there_once() -> None:
    assert sorted(claim.id for claim in claims()) == sorted(OF_BOTH_PAPERS)


def test_every_rule_is_declared_with_a_smallest_effect_and_its_own_statistics() -> None:
    for claim in claims():
        names = [criterion.name for criterion in claim.rule.criteria]
        assert len(names) == len(set(names)) > 0, claim.id
        assert all(criterion.smallest > 0 for criterion in claim.rule.criteria), claim.id
        assert claim.source.startswith(("A17", "K17"))


def test_claims_are_chosen_in_the_order_of_the_page() -> None:
    known = [claim.id for claim in claims()]
    assert list(chosen_claims([])) == known
    assert chosen_claims(reversed(known)) == tuple(known)
    assert chosen_claims(["csr-noise", "time-order", "csr-noise"]) == ("time-order", "csr-noise")
    assert [study.name for study in studies_of(["csr-noise", "time-order"])] == [
        "figure-6",
        "figure-9",
    ]


def test_an_unknown_claim_is_answered_with_the_nearest_right_name() -> None:
    with pytest.raises(InputError, match="unknown claim 'csr-nois': did you mean 'csr-noise'"):
        chosen_claims(["csr-nois"])
    with pytest.raises(InputError, match="unknown preset 'quik': did you mean 'quick'"):
        find_preset("quik")


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_plan_is_the_same_each_time_and_other_trials_have_other_keys(
    study, of_preset: Setting
) -> None:
    plan = study.plan(of_preset)
    assert [trial.key for trial in plan] == [trial.key for trial in study.plan(of_preset)]
    by_key = {trial.key: trial for trial in plan}
    assert len(by_key) == len(set(plan))
    assert all(by_key[trial.key] == trial for trial in plan)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_more_seeds_only_add_trials(study) -> None:
    few, more = (
        {trial.key for trial in study.plan(tiny_setting(digits(), seeds=seeds))} for seeds in (3, 5)
    )
    assert few < more


def test_figures_7_8_and_9_share_all_their_trials(of_preset: Setting) -> None:
    seven, nine = studies_of(["noise-hurts", "csr-noise"])
    assert seven.plan(of_preset) == nine.plan(of_preset)


def test_kinds_and_levels_of_a_seed_share_everything_but_the_noise(of_preset: Setting) -> None:
    for trial in dynamics.plan(of_preset):
        assert trial.seed == trial.data.seed
    [figure_1] = studies_of(["easy-examples"])
    draws: dict[tuple[float, float], set[tuple[int, int]]] = {}
    for trial in figure_1.plan(of_preset):
        noise = (trial.data.inputs, trial.data.labels)
        draws.setdefault(noise, set()).add((trial.data.seed, trial.seed))
    real, *others = draws.values()
    assert len(others) == 2
    assert all(other == real for other in others)
    assert len({seed for _, seed in real}) == len(real), "initialisations of draws are their own"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_keeps_what_the_rules_rely_on(preset: Preset) -> None:
    own = preset.dynamics
    assert len(own.radii) == 3
    assert tuple(sorted(own.radii)) == own.radii
    assert own.radii[1] == own.radius
    assert own.radii[0] * 3 == pytest.approx(own.radius) == pytest.approx(own.radii[2] / 3)
    assert {0.0, 1.0} <= set(own.levels)
    assert {0.0, 1.0} <= set(preset.time.levels)
    assert own.critical_examples <= min(own.train, own.validation)
    sizes = bisection_grid(
        preset.capacity.smallest, preset.capacity.largest, preset.capacity.rounds
    )
    grids = (
        preset.time.widths, preset.time.sizes, preset.capacity.widths, sizes,
        preset.width.widths, preset.width.levels,
    )  # fmt: skip
    for grid in (*grids, own.levels):
        assert len(grid) >= 3
        assert tuple(sorted(set(grid))) == grid


def test_checkpoints_begin_at_the_first_epoch_and_end_at_the_last(of_preset: Setting) -> None:
    own = of_preset.preset.dynamics
    for epochs in (dynamics.accuracy_epochs(of_preset), dynamics.critical_epochs(of_preset)):
        assert (epochs[0], epochs[-1]) == (1, own.epochs)
        assert list(epochs) == sorted(set(epochs))
    assert own.epochs // 2 in dynamics.critical_epochs(of_preset)
    accuracy, critical = dynamics.plan(of_preset)[0].probes
    assert isinstance(accuracy, AccuracyProbe)
    assert isinstance(critical, CriticalProbe)


def test_the_early_search_comes_after_as_many_updates_as_the_papers_first_epoch(
    of_preset: Setting,
) -> None:
    own = of_preset.preset.dynamics
    epoch = dynamics.critical_epochs(of_preset)[dynamics.early(of_preset)]
    assert epoch * -(-own.train // own.batch_size) >= dynamics.FIRST_EPOCH_UPDATES
    assert epoch < own.epochs // 2


@pytest.mark.parametrize(("last", "count"), [(1, 2), (24, 8), (150, 16), (1000, 30)])
def test_log_spacing_has_both_ends_and_no_duplicates(last: int, count: int) -> None:
    spaced = log_spaced(last, count)
    assert (spaced[0], spaced[-1]) == (1, last)
    assert len(spaced) == len(set(spaced)) <= count


def test_mnist_has_enough_examples_of_each_class_for_the_paper_preset() -> None:
    digits = tuple(str(digit) for digit in range(10))
    fives = 5421  # the smallest class among the 60,000 training digits
    facts = SourceFacts("mnist", "f", 60_000, (28, 28), digits, fives)
    setting = Setting(PRESETS["paper"], facts, seeds=1)
    for study in STUDIES:
        for trial in study.plan(setting):
            each = trial.data.train / 10 + trial.data.validation / 10
            assert each <= fives, (study.name, trial.data)
