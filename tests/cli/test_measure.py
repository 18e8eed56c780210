from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import byheart
from byheart.cli.main import main
from byheart.cli.options import parse_ratio
from byheart.errors import InputError

SOURCE = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_network.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def words(checkpoint: Path, *more: str, measure: str = "critical") -> list[str]:
    model = ["--model", "own_network:network", "--data", "digits", "--examples", "100"]
    return ["measure", measure, str(checkpoint), *model, *more]


def test_critical_samples_of_a_checkpoint_are_counted(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(checkpoint, "--radius", "3/255", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["examples"] == 100
    assert found["radius"] == 3 / 255
    assert 0 < found["lower"] < 1
    assert len(found["critical"]) == round(100 * found["lower"])
    assert found["control"] <= found["lower"] <= found["upper"] < 1
    assert len(found["certified"]) == round(100 * (1 - found["upper"]))
    assert found["uncertified_layer"] is None


def test_in_words_it_is_one_line(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(checkpoint)) == 0
    out = capsys.readouterr().out
    assert out.startswith("critical sample ratio at r = 0.3/255: between ")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--radius", "wide"], "--radius is 'wide'"),
        (["--radius", "1/0"], "--radius is '1/0'"),
        (["--radius", "-1"], "radius must be"),
        (["--model", "own_network:netwrok"], "did you mean 'network'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(words(checkpoint, *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("forward", "more", "message"),
    [
        ("x.flatten(1)[:, :10].sum(1)", [], "it must return [N, 10]: one output per class"),
        ("self.last(x.flatten(1))[:, :7]", [], "maps [N, 8, 8] to [N, 7]"),
        ("self.last(x.flatten(1)[:, :9])", [], "does not take [N, 8, 8]"),
        ("self.last(x.flatten(1)) * float('nan')", [], "not finite"),
        ("self.last(x.flatten(1) + torch.rand_like(x.flatten(1)))", [], "deterministic"),
        ("self.last(x.flatten(1))", ["--radius", "2"], "radius"),
    ],
)
def test_a_network_that_cannot_be_measured_is_one_line_and_exit_code_2(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], forward: str, more: list[str],
    message: str,
) -> None:  # fmt: skip
    (checkpoint.parent / "strange_network.py").write_text(
        "import torch\n"
        "class network(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        f"        return {forward}\n"
    )
    sys.modules.pop("strange_network", None)
    model = torch.nn.ModuleDict({"last": torch.nn.Linear(64, 10)})
    torch.save(model.state_dict(), checkpoint)
    assert main(words(checkpoint, "--model", "strange_network:network", *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_sharpness_of_a_checkpoint_comes_with_its_residual(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(checkpoint, "--json", measure="sharpness")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["eigenvalue"] > 0
    assert found["residual"] <= 1e-3
    assert found["converged"]
    assert main(words(checkpoint, measure="sharpness")) == 0
    assert capsys.readouterr().out.startswith("largest Hessian eigenvalue: ")


def test_sensitivity_from_a_checkpoint_comes_with_its_gini(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--updates", "30", "--learning-rate", "0.1")
    assert main(words(checkpoint, *more, "--json", measure="sensitivity")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluate_at"][-1] == 30
    assert len(found["sensitivity"]) == 100
    assert found["gini"] == pytest.approx(byheart.gini(found["sensitivity"]))
    assert main(words(checkpoint, *more, measure="sensitivity")) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_no_updates_are_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(checkpoint, "--updates", "0", measure="sensitivity")) == 2
    assert "updates must be 1 or more" in capsys.readouterr().err


def test_ratios_read_as_they_are_written() -> None:
    assert parse_ratio("0.01", "--radius") == 0.01
    assert parse_ratio("0.3/255", "--radius") == 0.3 / 255
    with pytest.raises(InputError):
        parse_ratio("3/", "--radius")


@pytest.mark.parametrize("measure", ["critical", "sharpness", "sensitivity"])
@pytest.mark.parametrize("forward", ["x[:, 0].flatten(1)", "x.flatten(1)[:, :9]"])
def test_inputs_come_in_the_shape_that_the_network_takes_or_it_is_said_that_none_does(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], measure: str, forward: str
) -> None:
    (checkpoint.parent / "image_network.py").write_text(
        "import torch\n"
        "class network(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        f"        return self.last({forward})\n"
    )
    sys.modules.pop("image_network", None)
    model = torch.nn.ModuleDict({"last": torch.nn.Linear(64, 10)})
    torch.save(model.state_dict(), checkpoint)
    code = main(words(checkpoint, "--model", "image_network:network", measure=measure))
    captured = capsys.readouterr()
    if "x[:, 0]" in forward:
        assert code == 0, captured.err
    else:
        assert code == 2
        assert captured.out == ""
        assert captured.err.startswith("error: --model image_network:network: the network")
        assert captured.err.count("\n") == 1
