"""``byheart.advise`` from data and a factory to a recommendation, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import byheart
from byheart.advising.figures import costs
from byheart.advising.result import COLUMNS
from byheart.errors import InputError

FEW = ["early stopping", "label smoothing", "weight decay"]


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class Functional(nn.Module):
    """Without a layer of its own between its linear ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x):
        return self.last(torch.relu(self.first(x.flatten(1))))


def same() -> nn.Module:
    torch.manual_seed(0)
    return small()


def digits(size: int = 120) -> byheart.Dataset:
    return byheart.load_dataset("digits", size=size)


def quick(factory=small, data=None, **options):
    options = {"epochs": 12, "regularizers": FEW, "rounds": (1, 2, 2)} | options
    return byheart.advise(
        factory, data or digits(), recipe=byheart.Recipe("sgd", schedule="constant"), **options
    )


@pytest.fixture(scope="module")
def found() -> byheart.Advice:
    return quick(data=digits(300), epochs=40, rounds=(2, 6, 8), margin=0.05)


def test_the_table_has_every_strength_and_none(found) -> None:
    assert tuple(found.table.columns) == COLUMNS
    compared = found.table[found.table["stage"] == "compared"]
    assert set(compared["regularizer"]) == {"none", *FEW}
    explored = found.table[found.table["stage"] == "explored"]
    assert (explored["regularizer"] == "weight decay").sum() == 4
    assert set(explored["n"]) == {2, 4}


def test_random_labels_are_memorized_and_something_is_said_to_stop_it(found) -> None:
    plain = found.table[(found.table["regularizer"] == "none")].iloc[0]
    assert plain["memorization"] > 0.5
    assert found.recommended is not None, found.why
    assert found.recommended.drop.low > 0
    assert found.recommended.gain.low > -0.05
    assert found.code
    assert found.recommended.regularizer in found.why


def test_the_recommended_numbers_are_those_of_the_confirmed_row(found) -> None:
    row = found.table[found.table["stage"] == "confirmed"].iloc[0]
    assert found.recommended.drop.value == pytest.approx(row["drop"])
    assert found.recommended.gain.value == pytest.approx(-row["cost"])


def test_the_front_falls_in_memorization_only_with_accuracy(found) -> None:
    assert len(found.front)
    assert found.front["memorization"].is_monotonic_increasing
    assert found.front["accuracy"].is_monotonic_increasing


def test_curves_run_over_the_checkpoints(found) -> None:
    assert found.checkpoints[0] == 1
    assert found.checkpoints[-1] == 40
    for curves in found.curves.values():
        assert curves.shape == (2, 6, len(found.checkpoints))
        assert ((curves >= 0) & (curves <= 1)).all()


def test_it_goes_into_json(found) -> None:
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text)["recommended"]["regularizer"] == found.recommended.regularizer


def test_the_page_has_the_recommendation_its_code_and_the_charts(found, tmp_path) -> None:
    page = found.to_html(tmp_path / "deep" / "advice.html").read_text("utf-8")
    assert found.recommended.name in page
    assert "optimizer.step()" in page
    for figure in ("advice-cost", "advice-strengths", "advice-curves"):
        assert f'<figure id="{figure}"' in page
    assert "No trial gave a value" not in page
    assert "Accuracy on trusted" not in page


def test_a_notebook_shows_the_recommendation_its_code_and_what_was_compared(found) -> None:
    assert repr(found).splitlines()[0].endswith(f": {found.recommended.name}")
    shown = found._repr_html_()
    assert found.recommended.name in shown
    assert "optimizer.step()" in shown
    assert shown.count("<tr") == 1 + (found.table["stage"] != "explored").sum()
    assert "&lt;b&gt;" in dataclasses.replace(found, name="<b>")._repr_html_()


def test_the_chart_of_costs_has_intervals_on_both_axes_and_the_front(found) -> None:
    figure = costs(found.table, found.front)
    compared = [point for point in figure.points if point.series != "undominated"]
    assert all(p.left <= p.x <= p.right and p.low <= p.y <= p.high for p in compared)
    front = [(point.x, point.y) for point in figure.points if point.series == "undominated"]
    assert front == sorted(front)
    assert set(front) <= {(point.x, point.y) for point in compared}


def test_the_same_seed_gives_the_same_advice() -> None:
    one, other = quick(seed=3), quick(seed=3)
    assert one.as_json() | {"seconds": 0} == other.as_json() | {"seconds": 0}


def test_a_network_that_memorizes_nothing_is_told_to_train_longer() -> None:
    found = quick(epochs=2, learning_rate=0.001)
    assert found.recommended is None
    assert found.why.startswith("none of these")
    assert "train longer" in found.why
    assert found.code == ""


def test_what_cannot_be_applied_stands_in_the_table_with_its_reason() -> None:
    found = quick(Functional, regularizers=["dropout", "label smoothing"])
    row = found.table[found.table["regularizer"] == "dropout"].iloc[0]
    assert row["verdict"] == "not applicable"
    assert "nn.ReLU" in row["reason"]
    assert any("dropout was not tried" in note for note in found.notes)


def test_trusted_examples_have_an_accuracy_and_a_gain_of_their_own(tmp_path) -> None:
    data = byheart.corrupt(digits(200), labels=0.4, seed=0)
    found = quick(data=data, trusted=(~data.noisy).tolist(), epochs=20)
    row = found.table[found.table["regularizer"] == "none"].iloc[0]
    assert row["trusted_low"] <= row["trusted"] <= row["trusted_high"]
    assert row["trusted"] > row["accuracy"] + 0.1
    compared = found.table[(found.table["stage"] == "compared")].set_index("regularizer")
    gains = compared["trusted"] - compared["trusted"]["none"]
    assert compared["trusted_gain"].to_numpy() == pytest.approx(gains.to_numpy())
    assert "Accuracy on trusted" in found.to_html(tmp_path / "a.html").read_text("utf-8")


def test_the_budget_is_kept() -> None:
    # How fast this machine is decides how much is done, never whether it passes.
    found = quick(rounds=None, minutes=0.5, epochs=3)
    assert found.table["n"].max() >= 4


def five_of_each(counts: dict[int, int]) -> byheart.Dataset:
    y = np.concatenate([np.full(n, k) for k, n in counts.items()])
    return byheart.Dataset.from_arrays("mine", np.random.default_rng(0).random((len(y), 8, 8)), y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 1.5}, "margin must be a proportion above 0 and below 1, got 1.5"),
        ({"margin": 0}, "margin must be a proportion"),
        ({"minutes": 0}, "minutes must be a number above 0"),
        ({"minutes": float("nan")}, "minutes must be a number above 0"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more"),
        ({"learning_rate": -1.0}, "learning_rate must be a number above 0"),
        ({"regularizers": []}, "regularizers must be a list"),
        ({"regularizers": ["magic"]}, "unknown regularizer 'magic'"),
        ({"rounds": (1, 1, 1)}, "rounds must be three whole numbers"),
        ({"trusted": [True]}, "trusted must be one True or False for each of 120 examples"),
        ({"factory": same}, "every call returns the same initial weights"),
        (
            {"factory": Functional, "regularizers": ["dropout"]},
            "none of these regularizers can be applied: dropout: the network has no layer",
        ),
        (
            {"rounds": None, "minutes": 1e-4},
            "one round with 3 regularizers takes about .* minutes here",
        ),
    ],
)
def test_bad_input_gets_one_line(options, message) -> None:
    with pytest.raises(InputError, match=message) as problem:
        quick(**options)
    assert "\n" not in str(problem.value)


def test_a_class_with_too_few_examples_to_hold_any_out_is_named() -> None:
    with pytest.raises(InputError, match="class '1' has 3 examples, and 5 are needed"):
        quick(data=five_of_each({0: 20, 1: 3, **dict.fromkeys(range(2, 10), 9)}))
