"""The claim on the first layer: found where it was planted, and not where nothing was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.studies.planted_filters import white, with_structure
from tests.studies.simulated import tiny_setting

from byheart.data.dataset import Dataset
from byheart.measures.first_layer import network_low_frequency_energy
from byheart.record import Record
from byheart.statistics.decide import decide
from byheart.studies.base import Records, Setting
from byheart.studies.figure2 import DRAWN, Figure2
from byheart.studies.presets import PRESETS
from byheart.training.engine import train
from byheart.training.packs import make_packs
from byheart.trial import CNN, FiltersProbe, Trial

STUDY = Figure2()
[CLAIM] = STUDY.claims

pytestmark = pytest.mark.usefixtures("fewer_resamples")


def made_up(trial: Trial, channels: int = 1) -> Record:
    [probe] = [one for one in trial.probes if isinstance(one, FiltersProbe)]
    rng = np.random.default_rng(trial.seed)
    weights = white(rng, (len(probe.epochs), 6, channels, 5, 5))
    arrays = {"filters.epoch": np.array(probe.epochs), "filters.weights": weights}
    return Record(trial, "budget", trial.algorithm.epochs, arrays)


def run(setting: Setting, sign: int, seed: int = 0, channels: int = 1) -> dict[str, Record]:
    rng = np.random.default_rng(seed)
    return {
        trial.key: with_structure(made_up(trial, channels), trial, rng, sign)
        for trial in STUDY.plan(setting)
    }


def verdict(setting: Setting, records: dict[str, Record]) -> str:
    evidence = STUDY.judge(Records(records), setting)[CLAIM.id]
    [judgement] = decide([(CLAIM.id, CLAIM.rule, evidence)])
    return judgement.verdict


def test_planted_structure_is_found_in_colour_too(setting: Setting) -> None:
    assert verdict(setting, run(setting, 1, channels=3)) == "supported"


def test_filters_without_structure_are_hardly_ever_called_structured(setting: Setting) -> None:
    runs = [verdict(setting, run(setting, 0, seed)) for seed in range(40)]
    assert runs.count("supported") <= 2


def test_structure_on_real_data_alone_is_not_enough(setting: Setting) -> None:
    smooth, plain = run(setting, 1), run(setting, 0)
    mixed = {k: plain[k] if r.trial.data.labels else r for k, r in smooth.items()}
    assert verdict(setting, mixed) != "supported"


def test_the_statistic_is_the_ratio_of_end_to_start_of_the_same_network(setting: Setting) -> None:
    records = run(setting, 1)
    values = STUDY.judge(Records(records), setting)[CLAIM.id].values
    for number, labels in ((0, 0.0), (1, 1.0)):
        [own] = [
            r for r in records.values()
            if r.trial.seed == 5 and r.trial.data.labels == labels and not r.trial.data.inputs
        ]  # fmt: skip
        start, *_, end = network_low_frequency_energy(own.arrays["filters.weights"])
        name = CLAIM.rule.criteria[number].name
        assert values[name][5] == pytest.approx(np.log2(end / start))


def test_a_network_that_diverged_is_counted_and_leaves_a_gap(setting: Setting) -> None:
    records = run(setting, 1)
    for key, record in records.items():
        if record.trial.seed == 0 and record.trial.data.labels:
            records[key] = replace(record, outcome="diverged")
    evidence = STUDY.judge(Records(records), setting)[CLAIM.id]
    assert evidence.diverged == 1
    assert [np.isnan(values[0]) for values in evidence.values.values()] == [False, True]
    _, gallery = STUDY.figures(Records(records), setting)
    second = next(r for r in records.values() if r.trial.seed == 1)
    tile = np.array(gallery.pictures[0].tiles[0])[..., 0]
    np.testing.assert_allclose(tile, second.arrays["filters.weights"][0, 0, 0])


def test_without_records_there_is_no_verdict_and_no_picture(setting: Setting) -> None:
    evidence = STUDY.judge(Records({}), setting)[CLAIM.id]
    assert all(np.isnan(values).all() for values in evidence.values.values())
    assert evidence.failed == len(STUDY.plan(setting))
    assert [figure.id for figure in STUDY.figures(Records({}), setting)] == ["figure-2-energy"]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((64,), r"no images: their shape is \[64\]"), ((3, 4, 4), "images of 4x4 pixels are too")],
)
def test_data_that_no_cnn_can_read_leave_the_claim_open(
    setting: Setting, shape: tuple[int, ...], reason: str
) -> None:
    other = replace(setting, data=replace(setting.data, shape=shape))
    other = replace(other, preset=PRESETS["paper"])
    assert STUDY.plan(other) == []
    assert STUDY.figures(Records({}), other) == []
    evidence = STUDY.judge(Records({}), other)[CLAIM.id]
    [judgement] = decide([(CLAIM.id, CLAIM.rule, evidence)])
    assert judgement.verdict == "inconclusive"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(evidence.undecidable)


@pytest.mark.parametrize(("shape", "crop"), [((8, 8), 0), ((28, 28), 0), ((3, 32, 32), 2)])
def test_only_images_of_32_pixels_and_more_are_cropped(
    setting: Setting, shape: tuple[int, ...], crop: int
) -> None:
    for preset in PRESETS.values():
        own = Setting(preset, replace(setting.data, shape=shape), 3)
        for trial in STUDY.plan(own):
            assert isinstance(trial.algorithm.network, CNN)
            assert trial.algorithm.network.crop == crop


def test_the_paper_preset_is_the_papers_cnn(setting: Setting) -> None:
    own = Setting(PRESETS["paper"], replace(setting.data, shape=(3, 32, 32)), 3)
    algorithm = STUDY.plan(own)[0].algorithm
    assert algorithm.network == CNN(channels=(200, 200), dense=(384, 192), kernel=5, crop=2)
    assert (algorithm.learning_rate, algorithm.momentum, algorithm.batch_size) == (0.01, 0.9, 128)
    assert (algorithm.decay_every, algorithm.decay) == (15, 0.5)


def test_it_runs_for_real_on_colour_images(setting: Setting) -> None:
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(80) % 4
    images = torch.rand(80, 3, 32, 32, generator=draw)
    colours = Dataset.from_arrays("colours", images, y)
    own = tiny_setting(colours, seeds=2)
    trials = STUDY.plan(own)
    packs = make_packs(trials, shape=colours.shape, classes=colours.n_classes)
    records = {r.trial.key: r for pack in packs for r in train(pack, colours)}
    evidence = STUDY.judge(Records(records), own)[CLAIM.id]
    assert all(np.isfinite(values).all() for values in evidence.values.values())
    assert "at initialisation" in evidence.note
    energy, gallery = STUDY.figures(Records(records), own)
    assert {point.series for point in energy.points} == {"real", "randX", "randY", "no structure"}
    assert [one.name for one in gallery.pictures] == ["initialisation", "real", "randY", "randX"]
    assert all(0 < len(one.tiles) <= DRAWN for one in gallery.pictures)
    assert len(gallery.pictures[0].tiles[0][0][0]) == 3
