"""A real Trainer with a tiny BERT leaves the history of a loop by hand, whatever it drops."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.auditing.adapters.loops import (
    ACCURACIES,
    BEST,
    CLASSES,
    EPOCHS,
    EXAMPLES,
    STOPPED,
    assert_same,
)
from tests.auditing.adapters.two_processes import launch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)
from transformers import TrainerCallback as Base

import byheart
from byheart.auditing.adapters.transformers import TrackerCallback
from byheart.auditing.history import History
from byheart.errors import InputError

WORDS, LENGTH, BATCH = 30, 5, 8
STEPS = EXAMPLES // BATCH

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*no accelerator")


def texts(*, ids: bool = True, label: str = "label") -> object:
    """Return texts as numbers of words, with a column that no model takes."""
    draw = np.random.default_rng(0)
    rows = [
        {
            "input_ids": draw.integers(WORDS, size=LENGTH).tolist(),
            "attention_mask": [1] * LENGTH,
            label: int(draw.integers(CLASSES)),
            "length": LENGTH,
        }
        for _ in range(EXAMPLES)
    ]
    return byheart.IndexedDataset(rows) if ids else rows


def labels() -> list[int]:
    return [row["label"] for row in texts(ids=False)]


def bert(*, dropout: float = 0.0) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=LENGTH, num_labels=CLASSES,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        )
    )  # fmt: skip


def settings(folder: Path, **options: object) -> TrainingArguments:
    usual = {
        "per_device_train_batch_size": BATCH, "dataloader_drop_last": True, "use_cpu": True,
        "num_train_epochs": EPOCHS, "learning_rate": 0.01, "report_to": [], "disable_tqdm": True,
        "save_strategy": "no", "dataloader_pin_memory": False, "logging_strategy": "no",
    }  # fmt: skip
    return TrainingArguments(str(folder), **{**usual, **options})


def trainer(
    folder: Path, *callbacks: Base, dataset: object = None, dropout: float = 0.0, **options: object
) -> Trainer:
    return Trainer(
        bert(dropout=dropout),
        settings(folder, **options),
        train_dataset=texts() if dataset is None else dataset,
        eval_dataset=texts(ids=False),
        callbacks=list(callbacks),
    )


def by_hand(folder: Path, *, accumulate: int = 1) -> History:
    """Return the history of a loop over the batches that a Trainer makes of all columns."""
    loader = trainer(folder, remove_unused_columns=False).get_train_dataloader()
    model, tracker = bert().train(), byheart.Tracker(EXAMPLES)
    steps = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    updates, done = STEPS // accumulate * EPOCHS, 0
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        for number, batch in enumerate(loader, 1):
            output = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                labels=batch["labels"],
            )
            (output.loss / accumulate).backward()
            tracker.update(batch["id"], output.logits, batch["labels"])
            if number % accumulate == 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                steps.param_groups[0]["lr"] = 0.01 * (1 - done / updates)
                steps.step()
                steps.zero_grad()
                done += 1
        tracker.end_epoch()
    return tracker.history()


@pytest.mark.parametrize("accumulate", [1, STEPS])
def test_the_history_is_that_of_a_loop_by_hand(tmp_path: Path, accumulate: int) -> None:
    tracker = byheart.Tracker(EXAMPLES)
    trainer(
        tmp_path,
        TrackerCallback(tracker),
        gradient_accumulation_steps=accumulate,
        eval_strategy="steps",
        eval_steps=2,
    ).train()
    history = tracker.history()
    assert history.gaps.tolist() == [EXAMPLES - STEPS * BATCH] * EPOCHS
    expected = by_hand(tmp_path, accumulate=accumulate)
    np.testing.assert_allclose(history.margin, expected.margin, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(history.labels, expected.labels)


class Die(Base):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: object, state: object, control: object, **others: object) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("every", "on_disk"), [("epoch", True), (STEPS, False), (3, True)])
def test_a_training_that_is_resumed_leaves_the_history_of_one_that_was_not(
    tmp_path: Path, every: str | int, on_disk: bool
) -> None:
    options = {"dropout": 0.1, "save_strategy": "epoch"}
    if every != "epoch":
        options |= {"save_strategy": "steps", "save_steps": every}
    whole = byheart.Tracker(EXAMPLES)
    trainer(tmp_path / "whole", TrackerCallback(whole), **options).train()

    path = tmp_path / "history.sqlite" if on_disk else None
    first = TrackerCallback(byheart.Tracker(EXAMPLES, path))
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "cut", first, Die(2 * STEPS + 2), **options).train()
    tracker = byheart.Tracker(EXAMPLES, path)
    trainer(tmp_path / "cut", TrackerCallback(tracker), **options).train(
        resume_from_checkpoint=True
    )
    assert_same(tracker.history(), whole.history())


def test_a_checkpoint_that_was_moved_is_found_where_it_is_said_to_be(tmp_path: Path) -> None:
    options = {"save_strategy": "epoch", "num_train_epochs": 2}
    trainer(tmp_path / "one", TrackerCallback(byheart.Tracker(EXAMPLES)), **options).train()
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "one" / f"checkpoint-{STEPS}", moved)
    tracker = byheart.Tracker(EXAMPLES)
    follow = TrackerCallback(tracker, resume_from=moved)
    trainer(tmp_path / "two", follow, **options).train(resume_from_checkpoint=str(moved))
    assert tracker.epoch == 2
    follow = TrackerCallback(byheart.Tracker(EXAMPLES))
    with pytest.raises(InputError, match=f"two.*checkpoint-{STEPS}.*byheart.pt is not there"):
        shutil.rmtree(tmp_path / "two")
        trainer(tmp_path / "two", follow, **options).train(resume_from_checkpoint=str(moved))


def test_labels_may_be_kept_from_the_model(tmp_path: Path) -> None:
    options = {"label_smoothing_factor": 0.1}
    tracker = byheart.Tracker(EXAMPLES)
    trainer(tmp_path, TrackerCallback(tracker, labels=labels()), **options).train()
    history = tracker.history()
    seen = history.seen.any(0)
    assert history.labels[seen].tolist() == np.array(labels())[seen].tolist()
    with pytest.raises(InputError, match=r"has no labels .* TrackerCallback\(..., labels=...\)"):
        trainer(tmp_path, TrackerCallback(byheart.Tracker(EXAMPLES)), **options).train()
    short = TrackerCallback(byheart.Tracker(EXAMPLES), labels=labels()[:9])
    with pytest.raises(InputError, match="labels are of 9 examples, and ids go beyond them"):
        trainer(tmp_path, short, **options).train()


def test_a_training_without_ids_is_refused_with_the_remedy(tmp_path: Path) -> None:
    message = "called without 'id': wrap the training set in byheart.IndexedDataset, give"
    with pytest.raises(InputError, match=message):
        follow = TrackerCallback(byheart.Tracker(EXAMPLES))
        trainer(tmp_path, follow, dataset=texts(ids=False)).train()
    late = trainer(tmp_path)
    late.add_callback(TrackerCallback(byheart.Tracker(EXAMPLES)))
    with pytest.raises(InputError, match=r"give the callback to Trainer\(callbacks=\[...\]\)"):
        late.train()


def test_a_callback_added_late_does_where_no_column_is_dropped(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "length"} for row in texts(ids=False)]
    tracker = byheart.Tracker(EXAMPLES)
    late = trainer(tmp_path, dataset=byheart.IndexedDataset(rows), remove_unused_columns=False)
    late.add_callback(TrackerCallback(tracker))
    late.train()
    assert tracker.epoch == EPOCHS


def test_a_column_of_ones_own_is_used(tmp_path: Path) -> None:
    rows = [{**row, "row": number} for number, row in enumerate(texts(ids=False))]
    usual, own = byheart.Tracker(EXAMPLES), byheart.Tracker(EXAMPLES)
    trainer(tmp_path, TrackerCallback(usual)).train()
    trainer(tmp_path, TrackerCallback(own, id="row"), dataset=rows).train()
    assert_same(own.history(), usual.history())


def test_a_model_can_be_evaluated_with_ids_before_and_after(tmp_path: Path) -> None:
    tracker = byheart.Tracker(EXAMPLES)
    one = trainer(tmp_path, TrackerCallback(tracker))
    before = one.evaluate(texts())["eval_loss"]
    one.train()
    assert one.evaluate(texts())["eval_loss"] < before
    assert one.predict(texts()).predictions.shape == (STEPS * BATCH, CLASSES)
    assert tracker.epoch == EPOCHS
    # Whoever looks at the model afterwards finds the forward that it was written with.
    assert "forward" not in vars(one.model)


def test_batches_that_data_parallel_would_split_are_refused(tmp_path: Path) -> None:
    one = trainer(tmp_path, TrackerCallback(byheart.Tracker(EXAMPLES)))
    one.args._n_gpu = 2
    with pytest.raises(InputError, match="over 2 GPUs by DataParallel, where ids are lost"):
        one.callback_handler.on_train_begin(one.args, one.state, one.control)


def test_in_mixed_precision_the_model_is_tracked_alike(tmp_path: Path) -> None:
    tracker, half = byheart.Tracker(EXAMPLES), byheart.Tracker(EXAMPLES)
    trainer(tmp_path, TrackerCallback(tracker), num_train_epochs=1).train()
    trainer(tmp_path, TrackerCallback(half), num_train_epochs=1, bf16=True).train()
    np.testing.assert_allclose(half.history().margin, tracker.history().margin, atol=0.05)


def test_a_trainer_may_make_its_model_itself(tmp_path: Path) -> None:
    made = byheart.Tracker(EXAMPLES)
    one = Trainer(
        model_init=lambda: bert(),
        args=settings(tmp_path, num_train_epochs=2),
        train_dataset=texts(),
        callbacks=[TrackerCallback(made)],
    )
    one.train()
    history = made.history()
    assert history.gaps.tolist() == [EXAMPLES - STEPS * BATCH] * 2
    seen = history.seen.any(0)
    assert history.labels[seen].tolist() == np.array(labels())[seen].tolist()
    assert "__signature__" not in vars(BertForSequenceClassification.forward)
    with pytest.raises(InputError, match="holds 2 epochs of a training, and another begins"):
        one.train()


class Tuples(BertForSequenceClassification):
    def forward(self, input_ids=None, attention_mask=None, labels=None):
        return super().forward(input_ids, attention_mask, labels=labels).to_tuple()


def test_a_model_may_return_tuples(tmp_path: Path) -> None:
    usual, other = byheart.Tracker(EXAMPLES), byheart.Tracker(EXAMPLES)
    trainer(tmp_path, TrackerCallback(usual), num_train_epochs=1).train()
    model = Tuples(bert().config)
    model.load_state_dict(bert().state_dict())
    Trainer(
        model,
        settings(tmp_path, num_train_epochs=1),
        train_dataset=texts(),
        callbacks=[TrackerCallback(other)],
    ).train()
    assert_same(other.history(), usual.history())


def test_a_compiled_model_is_compiled_once(tmp_path: Path) -> None:
    compiled: list[object] = []

    def count(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        compiled.append(graph)
        return graph.forward

    model, tracker = bert(), byheart.Tracker(EXAMPLES)
    # Else the model sets it in the first batch, and is compiled again.
    model.config.problem_type = "single_label_classification"
    follow = TrackerCallback(tracker)
    follow._hook(model)
    follow._training = True
    whole, first = torch.compile(model.train(), backend=count), 0
    for start in range(0, 40, BATCH):
        rows = [texts()[i] for i in range(start, start + BATCH)]
        words = torch.tensor([row["input_ids"] for row in rows])
        y = torch.tensor([row["label"] for row in rows])
        whole(input_ids=words, labels=y, id=torch.arange(start, start + BATCH))
        first = first or len(compiled)
    assert len(compiled) == first
    tracker.end_epoch()
    assert tracker.history().seen.sum() == 40


def losses(tmp_path: Path, model: object, rows: list[dict[str, object]]) -> History:
    """Return the history of one epoch at a learning rate of 0, in batches without padding."""
    tracker = byheart.Tracker(len(rows))
    Trainer(
        model,
        settings(tmp_path, num_train_epochs=1, learning_rate=0.0, dataloader_drop_last=False),
        train_dataset=byheart.IndexedDataset(rows),
        callbacks=[TrackerCallback(tracker)],
    ).train()
    return tracker.history()


SMALL = {"vocab_size": WORDS, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def test_a_causal_language_model_is_tracked_by_the_loss_of_each_example(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=WORDS, n_embd=8, n_layer=1, n_head=2, n_positions=8,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    rows = []
    for row in texts(ids=False)[:10]:
        rows.append({"input_ids": row["input_ids"], "labels": [-100, *row["input_ids"][1:4], -100]})
    history = losses(tmp_path, model, rows)
    assert history.of_losses
    for number, row in enumerate(rows):
        batch = {name: torch.tensor([values]) for name, values in row.items()}
        assert history.loss[0, number] == pytest.approx(model.eval()(**batch).loss.item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["tokens", "regression", "several labels"])
def test_what_is_no_class_of_an_example_is_tracked_by_its_loss(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    options = {
        "tokens": {"num_labels": 3},
        "regression": {"num_labels": 1, "problem_type": "regression"},
        "several labels": {"num_labels": 4, "problem_type": "multi_label_classification"},
    }
    config = BertConfig(**SMALL, **NO_DROPOUT, **options[kind])
    of = BertForTokenClassification if kind == "tokens" else BertForSequenceClassification
    model, draw = of(config), np.random.default_rng(0)
    labels = {
        "tokens": lambda: [*draw.integers(3, size=LENGTH - 1).tolist(), -100],
        "regression": lambda: float(draw.normal()),
        "several labels": lambda: [float(v) for v in draw.integers(2, size=4)],
    }[kind]
    rows = [{"input_ids": row["input_ids"], "labels": labels()} for row in texts(ids=False)[:10]]
    history = losses(tmp_path, model, rows)
    for number, row in enumerate(rows):
        batch = {name: torch.tensor([values]) for name, values in row.items()}
        assert history.loss[0, number] == pytest.approx(model.eval()(**batch).loss.item(), rel=1e-4)


@pytest.mark.slow
def test_two_processes_leave_one_history_also_when_resumed(tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    module = ["-m", "tests.auditing.adapters.two_processes", "transformers"]
    launch(*torchrun, *module, str(tmp_path / "two"))
    history = History.open(tmp_path / "two" / "history.sqlite")
    tracker = byheart.Tracker(EXAMPLES)
    options = {"per_device_train_batch_size": 2 * BATCH}
    trainer(tmp_path / "one", TrackerCallback(tracker), **options).train()
    expected = tracker.history()
    np.testing.assert_array_equal(history.seen, expected.seen)
    # Gradients of processes are added in another order than those of a batch.
    np.testing.assert_allclose(history.margin, expected.margin, rtol=2e-3, atol=2e-3)


def test_a_training_without_evaluation_is_told_that_it_has_no_onset(tmp_path: Path) -> None:
    tracking = TrackerCallback(byheart.Tracker(EXAMPLES), stop_at_onset="eval_accuracy")
    with pytest.warns(UserWarning, match="'eval_accuracy' did nothing, since this training"):
        trainer(tmp_path, tracking).train()


def test_a_training_stops_at_the_onset_with_the_best_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(epochs: int) -> Trainer:
        accuracies = iter(ACCURACIES)
        made = trainer(
            tmp_path,
            TrackerCallback(byheart.Tracker(EXAMPLES), stop_at_onset="eval_accuracy"),
            num_train_epochs=epochs,
            eval_strategy="epoch",
            lr_scheduler_type="constant",
        )
        made.compute_metrics = lambda predictions: {"accuracy": next(accuracies)}
        made.train()
        return made

    stopped, best = trained(len(ACCURACIES)), trained(BEST)
    assert stopped.state.epoch == STOPPED
    for found, expected in zip(stopped.model.parameters(), best.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    assert f"stopped after {STOPPED} epochs, with the weights of epoch {BEST}" in (
        capsys.readouterr().out
    )
