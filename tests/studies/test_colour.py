"""Colour images: the papers' CNN in every study, and validation on the test split."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import byheart
from byheart.data import load_dataset
from byheart.data.cifar import BATCHES
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.runners.base import InlineRunner, Progress
from byheart.studies import presets
from byheart.studies.registry import claims
from byheart.studies.request import make_request
from byheart.trial import CNN, MLP

TRAIN, TEST = 100, 40


def records(count: int, seed: int) -> bytes:
    """Return images in CIFAR-10's binary format, each class with a brightness of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    pixels = rng.integers(100, size=(count, 3072)) + 15 * labels[:, None]
    return np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in the files of the official CIFAR-10: training needs all of the training split."""
    folder = tmp_path_factory.mktemp("cifar")
    for seed, name in enumerate(BATCHES["train"]):
        (folder / name).write_bytes(records(TRAIN // 5, seed))
    (folder / BATCHES["test"][0]).write_bytes(records(TEST, 99))
    return folder


SMALL = {
    "examples": {"train": TRAIN, "initialisations": 2},
    "filters": {"train": TRAIN, "channels": (2, 3), "dense": (4,), "epochs": 2, "checkpoints": 2},
    "dynamics": {
        "train": TRAIN, "validation": TEST, "epochs": 4, "levels": (0.0, 0.5, 1.0),
        "checkpoints": 3, "critical_checkpoints": 3, "critical_examples": 8,
        "certified_examples": 1, "max_steps": 2,
    },
    "time": {
        "train": TRAIN, "epochs": 3, "levels": (0.0, 1.0), "widths": (1, 2), "width_train": TRAIN,
        "sizes": (50, TRAIN), "width": 2,
    },
    "width": {
        "train": TRAIN, "validation": TEST, "epochs": 3, "checkpoints": 2, "levels": (0.0, 0.5),
        "widths": (1, 2),
    },
    "capacity": {
        "widths": (1, 2), "train": TRAIN, "width_epochs": 3, "smallest": 20, "largest": TRAIN,
        "rounds": 2, "width": 1, "size_epochs": 3,
    },
    "sharpness": {
        "train": 40, "levels": (0.0, 1.0), "epochs": 2, "limit": 3, "loss": 1.0, "tolerance": 0.1,
        "max_iterations": 8, "online_iterations": 3,
    },
    "regularizers": {
        "train": TRAIN, "validation": TEST, "epochs": 2, "checkpoints": 2, "dropout": (0.5,),
        "input_dropout": (0.5,), "input_noise": (0.5,), "hidden_noise": (0.5,),
        "weight_decay": (0.1,), "adversarial": ((0.5, 0.5),),
    },
    "sensitivity": {
        "train": 40, "batch_size": 20, "updates": 8, "evaluations": 2, "per_class": 1,
        "unique_updates": 8, "unique_evaluations": 2,
    },
}  # fmt: skip


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the paper preset for CNNs so small that all claims are judged in seconds."""
    large = presets.find_preset("paper", "cnn")
    families = {
        name: getattr(large, name).model_copy(update=numbers | {"batch_size": 20})
        for name, numbers in SMALL.items()
    }
    small = large.model_copy(update={**families, "seeds": 2})
    monkeypatch.setitem(presets._OF_CNN, "paper", small)


@pytest.mark.usefixtures("paper")
def test_every_claim_is_judged_on_files_in_the_official_format(
    folder: Path, tmp_path: Path
) -> None:
    findings = byheart.study(
        preset="paper",
        data=str(folder),
        out=tmp_path,
        runner=InlineRunner(1),
        progress=Progress(),
    )
    assert [finding.claim for finding in findings] == [claim.id for claim in claims()]
    assert findings.failed == 0
    page = findings.page.read_text(encoding="utf-8")
    assert "From the test split, where training needs the training split" in page
    assert "the papers&#39; CNN (conv 2-3, dense 4)" in page
    rows = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert all(row["estimate"] is not None for row in rows if row["claim"] == "csr-noise")


@pytest.mark.usefixtures("paper")
def test_validation_examples_come_from_the_test_split_where_training_takes_all(
    folder: Path,
) -> None:
    request = make_request(preset="paper", source=str(folder))
    test = load_dataset(str(folder), split="test")
    drawn = {trial.data.test for trial in request.trials if trial.data.validation}
    assert drawn == {request.setting.data.test} == {request.dataset.test_fingerprint}
    assert all(trial.data.test is None for trial in request.trials if not trial.data.validation)
    trained, held_out = request.dataset.split_indices(TRAIN, TEST, 0, test=True)
    assert sorted(trained.tolist()) == list(range(TRAIN))
    x, y = request.dataset.at(held_out)
    order = held_out - TRAIN
    assert torch.equal(x, test.x[order])
    assert torch.equal(y, test.y[order])


def test_a_trial_without_a_test_split_keeps_its_key() -> None:
    facts = make_request(["csr-noise"], seeds=1).trials[0].data
    assert "test" not in facts.model_dump(mode="json")
    assert facts.model_copy(update={"test": "f"}).model_dump(mode="json")["test"] == "f"


def coloured(side: int = 32, channels: int = 3) -> Dataset:
    x = torch.rand(4000, channels, side, side, generator=torch.Generator().manual_seed(0))
    return Dataset.from_arrays("pictures", x, torch.arange(4000) % 10)


def test_colour_images_get_the_cnn_and_grey_ones_the_mlp() -> None:
    kinds = {
        (source, network): {
            type(trial.algorithm.network)
            for trial in make_request(
                ["csr-noise", "time-capacity", "gini-labels"], source=source, network=network
            ).trials
        }
        for source, network in ((coloured(), None), (coloured(), "mlp"), ("digits", None))
    }
    # Loss-sensitivity has the papers' small MLP on any data.
    assert list(kinds.values()) == [{CNN, MLP}, {MLP}, {MLP}]


def test_grey_images_of_either_shape_train_a_cnn() -> None:
    request = make_request(["time-capacity"], network="cnn", source=coloured(channels=1))
    assert {type(trial.algorithm.network) for trial in request.trials} == {CNN}
    request = make_request(["time-capacity"], network="cnn", source="digits")
    assert "--network" in request.command()


def test_the_width_of_a_cnn_is_the_number_of_filters() -> None:
    request = make_request(["time-capacity"], source=coloured())
    trained = {trial.algorithm.network.channels for trial in request.trials}
    assert {channels[0] for channels in trained} >= set(request.setting.preset.time.widths)
    assert all(second == 2 * first for first, second in trained)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": coloured(side=6)}, "images of 6x6 pixels are too small .*or --network mlp"),
        ({"source": coloured(), "network": "rnn"}, "unknown network 'rnn': did you mean 'cnn'"),
        ({"network": "cnn", "model": "a:b"}, "--network is for byheart's networks: leave it out"),
    ],
)
def test_what_no_cnn_can_train_on_is_a_clear_error(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_request(["csr-noise"], **changes)


def test_a_test_split_of_other_shapes_or_classes_is_refused() -> None:
    dataset = coloured()
    with pytest.raises(InputError, match=r"test examples have the shape \[3, 16, 16\]"):
        dataset.with_test(coloured(side=16))
    other = Dataset.from_arrays("other", torch.rand(6, 3, 32, 32), torch.arange(6) % 3)
    with pytest.raises(InputError, match="test examples have the classes 0, 1, 2"):
        dataset.with_test(other)


@pytest.mark.usefixtures("paper")
def test_a_damaged_test_split_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "images"
    shutil.copytree(folder, copy)
    (copy / BATCHES["test"][0]).write_bytes(b"short")
    with pytest.raises(InputError, match=r"Its test split cannot be used: .*test_batch\.bin"):
        make_request(preset="paper", source=str(copy))
