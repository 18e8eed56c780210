"""Lightning trainings leave the history of a loop by hand, however logits are come by."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tests.auditing.adapters.loops import (
    ACCURACIES,
    BATCH,
    BEST,
    EPOCHS,
    EXAMPLES,
    GAPS,
    STOPPED,
    assert_same,
    batches,
    by_hand,
    examples,
    network,
    optimizer,
)
from tests.auditing.adapters.two_processes import launch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

import byheart
from byheart.auditing.history import History
from byheart.errors import InputError

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}

pytestmark = [
    # Of Lightning's own: its advice on workers, logging and hardware, and what it imports.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint"),
]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return request.param


def pl(package: str) -> ModuleType:
    return importlib.import_module(PACKAGES[package])


def callback(package: str, tracker: byheart.Tracker, **options: object) -> object:
    module = importlib.import_module(f"byheart.auditing.adapters.{package}")
    return module.TrackerCallback(tracker, **options)


def module(package: str, kind: str = "forward", after: object = None) -> object:
    """Return a LightningModule whose training step comes by its logits in one of several ways."""

    class Module(pl(package).LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()
            self.automatic_optimization = kind != "manual"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        def training_step(self, batch: object, batch_idx: int) -> object:
            x, y = (batch["x"], batch["label"]) if isinstance(batch, dict) else batch[:2]
            if kind == "teacher":
                with torch.no_grad():
                    self(x)
            logits = self.net(x) if kind in ("submodule", "returned") else self(x)
            if kind == "twice":
                self(x)
            loss = functional.cross_entropy(logits, y)
            if kind == "manual":
                self.manual_backward(loss)
                self.optimizers().step()
                self.optimizers().zero_grad()
            if after is not None:
                after(self, batch_idx)
            return {"loss": loss, "logits": logits} if kind == "returned" else loss

        def validation_step(self, batch: object, batch_idx: int) -> None:
            self(batch[0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer(self.net)

    return Module()


def trainer(package: str, root: Path, *callbacks: object, **options: object) -> object:
    settings = {
        "accelerator": "cpu", "max_epochs": EPOCHS, "logger": False, "default_root_dir": root,
        "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    }  # fmt: skip
    return pl(package).Trainer(callbacks=list(callbacks), **{**settings, **options})


VALIDATION = DataLoader(examples(), BATCH)


@pytest.mark.parametrize("kind", ["forward", "returned", "submodule", "manual", "teacher"])
def test_the_history_is_that_of_a_loop_by_hand(package: str, kind: str, tmp_path: Path) -> None:
    tracker = byheart.Tracker(EXAMPLES)
    follow = callback(package, tracker, module="net" if kind == "submodule" else None)
    # The sanity check and a validation after every second batch must not be counted.
    trainer(package, tmp_path, follow, val_check_interval=2).fit(
        module(package, kind), batches(), VALIDATION
    )
    history = tracker.history()
    assert_same(history, by_hand())
    assert history.gaps.tolist() == [GAPS] * EPOCHS


def test_gradients_may_be_accumulated_and_batches_come_from_workers(
    package: str, tmp_path: Path
) -> None:
    tracker = byheart.Tracker(EXAMPLES)
    trainer(package, tmp_path, callback(package, tracker), accumulate_grad_batches=2).fit(
        module(package), batches(workers=1)
    )
    assert_same(tracker.history(), by_hand(accumulate=2))


class Dicts(Dataset):
    """The examples as dicts, with their ids under a name of one's own."""

    def __len__(self) -> int:
        return EXAMPLES

    def __getitem__(self, index: int) -> dict[str, object]:
        x, y = examples()[index]
        return {"x": x, "label": y, "row": index}


def test_ids_and_labels_are_found_where_they_are_said_to_be(tmp_path: Path) -> None:
    for ids in ("row", lambda batch: batch["row"]):
        tracker = byheart.Tracker(EXAMPLES)
        follow = callback("lightning", tracker, ids=ids)
        trainer("lightning", tmp_path, follow).fit(module("lightning"), batches(Dicts()))
        assert_same(tracker.history(), by_hand())


KEPT = {
    "end of epoch": {"save_on_train_epoch_end": True},
    "validation": {"save_on_train_epoch_end": False},
    "last step": {"every_n_train_steps": EXAMPLES // BATCH},
}
"""When a checkpoint is saved: before or after the tracker's epoch ends."""


@pytest.mark.parametrize(("at", "on_disk"), [*zip(KEPT, (True, False, True), strict=True)])
def test_a_training_that_is_resumed_leaves_the_history_of_one_that_was_not(
    package: str, tmp_path: Path, at: str, on_disk: bool
) -> None:
    path = tmp_path / "history.sqlite" if on_disk else None

    def fit(tracker: byheart.Tracker, module: object, **options: object) -> None:
        checkpoint = pl(package).callbacks.ModelCheckpoint
        keep = checkpoint(tmp_path / "kept", save_top_k=-1, **KEPT[at])
        follow = callback(package, tracker)
        trainer(package, tmp_path, follow, keep, enable_checkpointing=True).fit(
            module, batches(), VALIDATION, **options
        )

    def die(module: object, batch_idx: int) -> None:
        if module.current_epoch == 2 and batch_idx == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(byheart.Tracker(EXAMPLES, path), module(package, after=die))
    last = max((tmp_path / "kept").glob("epoch=1*.ckpt"))
    tracker = byheart.Tracker(EXAMPLES, path)
    fit(tracker, module(package), ckpt_path=last, weights_only=True)
    assert_same(tracker.history(), by_hand())


def test_a_batch_without_ids_is_refused_with_the_remedy(package: str, tmp_path: Path) -> None:
    follow = callback(package, byheart.Tracker(EXAMPLES))
    with pytest.raises(
        InputError, match=r"a list of 2.* has no ids: wrap .* byheart.IndexedDataset"
    ):
        trainer(package, tmp_path, follow).fit(module(package), DataLoader(examples(), BATCH))


def test_ids_and_labels_that_are_not_where_they_are_said_to_be_are_named(tmp_path: Path) -> None:
    def fit(**options: object) -> None:
        follow = callback("lightning", byheart.Tracker(EXAMPLES), **options)
        trainer("lightning", tmp_path, follow).fit(module("lightning"), batches(Dicts()))

    with pytest.raises(InputError, match=r"\(keys x, label, row\) has no ids: wrap"):
        fit()
    with pytest.raises(InputError, match="has no 'number', where the ids should be"):
        fit(ids="number")
    with pytest.raises(InputError, match="has no 'class', where the labels should be"):
        fit(ids="row", labels="class")


def test_logits_that_are_not_heard_are_refused_with_the_remedy(
    package: str, tmp_path: Path
) -> None:
    follow = callback(package, byheart.Tracker(EXAMPLES))
    with pytest.raises(InputError, match=r"Module computed logits 0 times .* module=.*one of net"):
        trainer(package, tmp_path, follow).fit(module(package, "submodule"), batches())
    with pytest.raises(InputError, match="Module computed logits 2 times in a training step"):
        trainer(package, tmp_path, follow).fit(module(package, "twice"), batches())
    follow = callback(package, byheart.Tracker(EXAMPLES), module="nett")
    with pytest.raises(InputError, match="unknown module 'nett': did you mean 'net'"):
        trainer(package, tmp_path, follow).fit(module(package), batches())


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_step_that_returns_none_is_left_out(tmp_path: Path) -> None:
    class Skips(type(module("lightning"))):
        def training_step(self, batch: object, batch_idx: int) -> object:
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx == 1 else loss

    tracker = byheart.Tracker(EXAMPLES)
    trainer("lightning", tmp_path, callback("lightning", tracker)).fit(Skips(), batches())
    assert tracker.history().gaps.tolist() == [GAPS + BATCH] * EPOCHS


def test_a_third_column_is_not_taken_for_ids(tmp_path: Path) -> None:
    x, y = examples().tensors
    data = DataLoader(TensorDataset(x, y, torch.arange(EXAMPLES) % 2), BATCH)
    follow = callback("lightning", byheart.Tracker(EXAMPLES))
    with pytest.raises(InputError, match=r"last may not be ids: wrap .* TrackerCallback.*ids=-1"):
        trainer("lightning", tmp_path, follow).fit(module("lightning"), data)
    data = DataLoader(TensorDataset(x, y, torch.arange(EXAMPLES)), BATCH)
    tracker = byheart.Tracker(EXAMPLES)
    follow = callback("lightning", tracker, ids=-1)
    trainer("lightning", tmp_path, follow, max_epochs=1).fit(module("lightning"), data)
    assert tracker.history().gaps.tolist() == [0]


def test_a_tracker_of_another_training_is_refused(tmp_path: Path) -> None:
    follow = callback("lightning", byheart.Tracker(EXAMPLES))
    trainer("lightning", tmp_path, follow, max_epochs=1).fit(module("lightning"), batches())
    with pytest.raises(InputError, match="holds 1 epochs of a training, and another begins"):
        trainer("lightning", tmp_path, follow, max_epochs=1).fit(module("lightning"), batches())


def test_a_step_may_return_a_loss_per_example(tmp_path: Path) -> None:
    class Losses(type(module("lightning"))):
        def training_step(self, batch: object, batch_idx: int) -> object:
            losses = functional.cross_entropy(self.net(batch[0]), batch[1], reduction="none")
            return {"loss": losses.mean(), "losses": losses.detach()}

    tracker = byheart.Tracker(EXAMPLES)
    trainer("lightning", tmp_path, callback("lightning", tracker)).fit(Losses(), batches())
    np.testing.assert_allclose(tracker.history().loss, by_hand().loss, rtol=2e-3)


def test_no_hook_is_left_behind(tmp_path: Path) -> None:
    model = module("lightning")
    follow = callback("lightning", byheart.Tracker(EXAMPLES))
    trainer("lightning", tmp_path, follow).fit(model, batches())
    with pytest.raises(InputError):
        trainer("lightning", tmp_path, follow).fit(model, DataLoader(examples(), BATCH))
    assert not model._forward_hooks


def in_two_processes() -> History:
    """Return the history of a loop by hand over what two processes would each take of a batch."""
    data = byheart.IndexedDataset(examples())
    samplers = [DistributedSampler(data, 2, rank, shuffle=True, seed=0) for rank in range(2)]
    loaders = [DataLoader(data, BATCH, sampler=sampler) for sampler in samplers]
    model, tracker = network(), byheart.Tracker(EXAMPLES)
    steps = optimizer(model)
    for epoch in range(EPOCHS):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        for parts in zip(*loaders, strict=True):
            x, y, ids = (torch.cat(column) for column in zip(*parts, strict=True))
            logits = model(x)
            steps.zero_grad()
            functional.cross_entropy(logits, y).backward()
            steps.step()
            tracker.update(ids, logits, y)
        tracker.end_epoch()
    return tracker.history()


@pytest.mark.slow
def test_two_processes_leave_one_history(tmp_path: Path) -> None:
    launch("-m", "tests.auditing.adapters.two_processes", "lightning", str(tmp_path))
    history, expected = History.open(tmp_path / "history.sqlite"), in_two_processes()
    assert history.gaps.tolist() == [0] * EPOCHS
    # Gradients of processes are added in another order than those of a batch.
    np.testing.assert_allclose(history.margin, expected.margin, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=2e-3, atol=2e-3)


def test_a_training_without_validation_is_told_that_it_has_no_onset(
    package: str, tmp_path: Path
) -> None:
    tracking = callback(package, byheart.Tracker(EXAMPLES), stop_at_onset="val_acc")
    with pytest.warns(UserWarning, match="'val_acc' did nothing, since this training evaluated"):
        trainer(package, tmp_path, tracking).fit(module(package), batches())


def test_a_training_stops_at_the_onset_with_the_best_weights(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(epochs: int) -> tuple[object, object]:
        watched = module(package)
        watched.validation_step = lambda batch, batch_idx: watched.log(
            "val_acc", ACCURACIES[watched.current_epoch]
        )
        tracking = callback(package, byheart.Tracker(EXAMPLES), stop_at_onset="val_acc")
        run = trainer(package, tmp_path, tracking, max_epochs=epochs)
        run.fit(watched, batches(), VALIDATION)
        return watched, run

    stopped, run = trained(len(ACCURACIES))
    best, _ = trained(BEST)
    assert run.current_epoch == STOPPED
    for found, expected in zip(stopped.parameters(), best.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    assert f"stopped after {STOPPED} epochs, with the weights of epoch {BEST}" in (
        capsys.readouterr().out
    )
