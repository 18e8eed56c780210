"""Figure 5 on made curves: an effect is found, and growing noise alone is not taken for one."""

from collections import Counter

import numpy as np
import pytest
from tests.studies.tiny import tiny_dataset, tiny_setting

from byheart.record import Record
from byheart.statistics.decide import decide
from byheart.studies.base import Records, Setting
from byheart.studies.figure5 import Figure5
from byheart.studies.settings import WidthSetting

STUDY = Figure5()

pytestmark = pytest.mark.usefixtures("fewer_resamples")


@pytest.fixture(scope="module")
def setting() -> Setting:
    tiny = tiny_setting(tiny_dataset(), seeds=10)
    width = WidthSetting(
        train=40,
        validation=40,
        learning_rate=0.1,
        batch_size=32,
        epochs=4,
        checkpoints=3,
        levels=(0.0, 0.4, 0.8),
        widths=(8, 16, 32, 64, 128),
    )
    return Setting(tiny.preset.model_copy(update={"width": width}), tiny.data, tiny.seeds)


def made(setting, rng, octaves_per_level, error):
    """Return records of saturating curves: the place of saturation moves with the level."""
    records = {}
    for trial in STUDY.plan(setting):
        level = trial.data.inputs + trial.data.labels
        octaves = np.log2(trial.algorithm.network.hidden[0] / 16)
        lost = 0.1 * 2.0 ** -(2 * (octaves - octaves_per_level * level))
        best = 0.8 - 0.3 * level - lost + rng.normal(0, error(level))
        arrays = {"accuracy.validation": np.array([best - 0.1, best, best - 0.05])}
        records[trial.key] = Record(trial, "budget", epochs=4, arrays=arrays)
    return records


def verdicts(setting, runs, octaves_per_level, error):
    rng, [claim] = np.random.default_rng(5), STUDY.claims
    counts = Counter()
    for _ in range(runs):
        records = Records(made(setting, rng, octaves_per_level, error))
        [judged] = decide([(claim.id, claim.rule, STUDY.judge(records, setting)[claim.id])])
        counts[judged.verdict] += 1
    return counts


def test_a_place_of_saturation_that_moves_with_noise_is_found(setting) -> None:
    assert verdicts(setting, 5, 2.5, lambda level: 0.002) == {"supported": 5}


def test_one_that_moves_the_other_way_contradicts(setting) -> None:
    assert verdicts(setting, 3, -2.5, lambda level: 0.002)["supported"] == 0


def test_noisier_accuracies_at_more_noise_alone_support_nothing(setting) -> None:
    counts = verdicts(setting, 30, 0.0, lambda level: 0.005 + 0.03 * level)
    assert counts["supported"] <= 2, counts


def test_the_note_names_the_final_epoch_and_the_data_set_where_the_papers_differ(setting) -> None:
    records = Records(made(setting, np.random.default_rng(0), 0.0, lambda level: 0.001))
    note = STUDY.judge(records, setting)["capacity-validation"].note
    assert "by the final epoch" in note
    assert "CIFAR-10" not in note
    facts = setting.data.__class__(**{**vars(setting.data), "name": "cifar10"})
    on_cifar = Setting(setting.preset, facts, setting.seeds)
    assert "CIFAR-10" in STUDY.judge(records, on_cifar)["capacity-validation"].note
