"""``byheart advise`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byheart.advising.trainer import Trainer
from byheart.cli.main import main
from byheart.store import Store

MODEL = ["--model", "tests.networks.user_networks:mlp", "--examples", "100", "--epochs", "2"]
FEW = ["--regularizer", "label smoothing", "--regularizer", "early stopping"]


def test_json_is_all_there_is_on_stdout_and_the_folder_has_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "advice"
    assert main(["advise", "digits", *MODEL, *FEW, "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == "digits"
    assert {"recommended", "why", "code", "front", "table"} <= set(found)
    assert json.loads((out / "advice.json").read_text()) == found
    assert (out / "advice.csv").read_text().startswith("name,regularizer,strength,")
    page = (out / "report.html").read_text()
    assert "Which regularizer stops memorization on digits" in page
    model = "--model tests.networks.user_networks:mlp"
    words = "--regularizer &#39;label smoothing&#39; --regularizer &#39;early stopping&#39;"
    assert f"byheart advise digits {model} --epochs 2 {words}" in page


def test_options_that_were_not_given_are_not_in_the_command_on_the_page(tmp_path: Path) -> None:
    assert main(["advise", "digits", *MODEL, "--rounds", "1,2,2", "--out", str(tmp_path)]) == 0
    assert "--regularizer" not in (tmp_path / "report.html").read_text()


def test_an_interrupted_run_keeps_what_it_trained_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["advise", "digits", *MODEL, *FEW, "--rounds", "1,2,2", "--out", str(tmp_path)]
    train, packs = Trainer.train, []

    def interrupted(self, pack, *settings):
        packs.append(pack)
        if len(packs) == 3:
            raise KeyboardInterrupt
        return train(self, pack, *settings)

    monkeypatch.setattr(Trainer, "train", interrupted)
    assert main(command) == 130
    assert "kept in" in capsys.readouterr().err
    assert main(command) == 0
    with Store.open(tmp_path, create=False) as store:
        assert len(store) == len({replica for pack in packs for replica in pack})
    assert main(["report", str(tmp_path)]) == 2
    assert "was no study: give its command again" in capsys.readouterr().err


def test_what_is_found_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "digits", *MODEL, *FEW]) == 0
    said = capsys.readouterr()
    assert "label smoothing" in said.out
    assert "none of these" in said.out
    assert "fresh ones to confirm" in said.err


def test_a_folder_that_cannot_be_written_is_refused_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["advise", "digits", *MODEL, *FEW, "--out", str(file / "advice")]) == 2
    error = capsys.readouterr().err
    assert "choose another folder" in error
    assert "packs" not in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "2,5"], "--rounds is '2,5': write three whole numbers, like 2,5,8"),
        (["--rounds", "1,1,1"], "rounds must be three whole numbers"),
        (["--trusted", "nowhere.csv"], "trusted: cannot read nowhere.csv"),
        (["--margin", "2"], "margin must be a proportion"),
        (["--minutes", "0.0001"], "minutes here"),
        (["--regularizer", "magic"], "unknown regularizer 'magic'"),
        (["--model", "tests.networks.user_networks:the_same_weights"], "whatever the seed"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["advise", "digits", *MODEL, *FEW, *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
