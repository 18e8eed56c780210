"""``byheart audit``, from the shell's side."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from byheart.auditing import files, training
from byheart.cli.main import main
from byheart.training.loop import TrainingLoop

Run = Callable[..., Any]
NETWORK = "tests.auditing.networks:small"
FILES = {"table.csv", "table.parquet", "audit.json", "to-review.csv", "report.html"}
QUICK = ("--epochs", "12", "--seeds", "2", "--learning-rate", "0.2", "--planted", "0.2")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of 400 digits, of which a sixth is mislabelled and two are the same."""
    x, y = load_digits(return_X_y=True)
    x, y = (x[:400] / 16).reshape(-1, 8, 8).astype(np.float32), y[:400].copy()
    wrong = np.random.default_rng(0).choice(400, 68, replace=False)
    y[wrong] = (y[wrong] + np.random.default_rng(1).integers(1, 10, 68)) % 10
    x[20], y[20] = x[21], (y[21] + 1) % 10
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def audited(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an audit that was run."""
    out = tmp_path_factory.mktemp("audit") / "out"
    words = ["audit", source, "--model", NETWORK, *QUICK, "--out", out, "--fail-if", "onset < 0"]
    assert main([str(word) for word in words]) == 0
    return out


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no audit train."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(training, "_Training", refuse)


def test_the_folder_holds_table_numbers_and_page(audited: Path) -> None:
    assert {path.name for path in audited.iterdir()} == FILES
    numbers = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    assert numbers["examples"] == 400
    assert numbers["flagged"] == len(numbers["list"]) > 0
    assert numbers["fail_if"] == {"condition": "onset < 0", "holds": False}
    assert [20, 21] in numbers["conflicts"]
    page = (audited / "report.html").read_text(encoding="utf-8")
    assert "How many labels are wrong is unknown" in page
    assert NETWORK in page


def test_csv_and_parquet_hold_the_same_table(audited: Path) -> None:
    csv = pd.read_csv(audited / "table.csv", index_col="id", keep_default_na=False, na_values=[""])
    parquet = pd.read_parquet(audited / "table.parquet")
    assert list(csv) == list(parquet)
    assert len(parquet) == 400
    np.testing.assert_allclose(csv["suspicion"], parquet["suspicion"], rtol=1e-4)
    assert parquet["label_name"].tolist() == parquet["label"].astype(str).tolist()


def test_the_command_on_the_page_is_the_one_that_was_given(audited: Path, source: Path) -> None:
    numbers = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    words = shlex.split(numbers["run"]["Command"])
    assert words[:3] == ["byheart", "audit", str(source)]
    assert set(words[3:]) == {"--model", NETWORK, *QUICK, "--out", str(audited), "--fail-if"} | {
        "onset < 0"
    }


def test_the_terminal_gets_alerts_the_worst_and_the_path(
    byheart: Run, source: Path, tmp_path: Path
) -> None:
    done = byheart("audit", source, *QUICK, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "How many labels are wrong is unknown" in " ".join(done.out.split())
    assert "looks like" in done.out
    # Without reviews no probability is known.
    assert "%" not in done.out.split("looks like")[1]
    assert done.out.splitlines()[-1] == str(tmp_path / "out" / "report.html")
    assert "no --model given: byheart trains a residual network" in done.err


def test_json_is_all_of_stdout_and_equals_the_file(
    byheart: Run, source: Path, tmp_path: Path
) -> None:
    words = ("--model", NETWORK, *QUICK, "--out", tmp_path, "--json")
    done = byheart("audit", source, *words, "--fail-if", "examples > 1%")
    assert done.code == 1
    numbers = json.loads(done.out)
    assert numbers == json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert numbers["fail_if"]["holds"] is True
    assert "failed: examples > 1% (examples = " in done.err


def with_verdicts(audited: Path, source: Path, path: Path, **changes: str) -> Path:
    """Write the reviews of a person who knows the true labels, and return the path."""
    table = pd.read_csv(audited / "to-review.csv", dtype=str, keep_default_na=False)
    true = load_digits(return_X_y=True)[1][:400]
    ids = table["id"].astype(int)
    wrong = table["label"].astype(int).to_numpy() != true[ids]
    table["verdict"] = np.where(wrong, "wrong", "right")
    table["label"] = np.where(wrong, true[ids].astype(str), "")
    table.assign(**changes).to_csv(path, index=False)
    return path


@pytest.fixture
def reviewed(audited: Path, source: Path, tmp_path: Path) -> Path:
    """Return a copy of the audit, with reviews.csv in it."""
    out = tmp_path / "out"
    shutil.copytree(audited, out)
    with_verdicts(audited, source, out / "reviews.csv")
    return out


@pytest.mark.usefixtures("untrained")
def test_reviews_change_the_numbers_without_training(
    byheart: Run, source: Path, reviewed: Path
) -> None:
    words = ("--out", reviewed, "--reviews", reviewed / "reviews.csv")
    done = byheart("audit", source, *words, "--fail-if", "mislabelled > 30%")
    assert done.code == 0, done.err
    numbers = json.loads((reviewed / "audit.json").read_text(encoding="utf-8"))
    low, high = numbers["calibration"]["mislabelled"]["interval"]
    assert low <= 69 <= high
    assert numbers["calibration"]["reviews"]["wrong"] > 10
    assert numbers["fail_if"] == {"condition": "mislabelled > 30%", "holds": False}
    assert numbers["run"]["Network"] == NETWORK
    page = (reviewed / "report.html").read_text(encoding="utf-8")
    assert "from 100 reviewed examples" in page
    again = byheart("audit", source, *words, "--fail-if", "mislabelled > 5%")
    assert again.code == 1
    assert (
        json.loads((reviewed / "audit.json").read_text(encoding="utf-8"))["calibration"]
        == (numbers["calibration"])
    )
    drawn = pd.read_csv(reviewed / "to-review.csv")
    assert not set(drawn["id"]) & set(pd.read_csv(reviewed / "reviews.csv")["id"])


@pytest.mark.usefixtures("untrained")
def test_corrections_are_applied_to_the_data(byheart: Run, source: Path, reviewed: Path) -> None:
    table = pd.read_csv(reviewed / "reviews.csv", dtype=str, keep_default_na=False)
    first = int(table.loc[table["verdict"] == "wrong", "id"].iloc[0])
    table.loc[table["id"] == str(first), "label"] = ""
    table.to_csv(reviewed / "reviews.csv", index=False)
    done = byheart("audit", source, "--out", reviewed, "--apply", reviewed / "reviews.csv")
    assert done.code == 0, done.err
    changes = pd.read_csv(reviewed / "changes.csv", index_col="id")
    assert changes.loc[first, "action"] == "removed"
    true = load_digits(return_X_y=True)[1][:400]
    corrected = changes["action"] == "corrected"
    assert corrected.sum() == (table["verdict"] == "wrong").sum() - 1
    np.testing.assert_array_equal(changes.loc[corrected, "label"], true[corrected])
    with np.load(reviewed / "cleaned.npz") as cleaned:
        assert len(cleaned["x"]) == 399
        np.testing.assert_array_equal(cleaned["y"], changes["label"].drop(first))


@pytest.mark.usefixtures("untrained")
def test_reviews_that_cannot_be_used_get_one_line(
    byheart: Run, source: Path, audited: Path, reviewed: Path
) -> None:
    path = reviewed / "reviews.csv"
    words = ("audit", source, "--out", reviewed, "--reviews", path)
    for changes, hint in (
        ({"data": "0000"}, "reviews another data set"),
        ({"verdict": "maybe"}, "it must be wrong, right or unsure"),
        ({"verdict": "unsure"}, "of 0 labels: too few for an interval"),
        ({"id": "400"}, "reviews example 400: ids are whole numbers 0 to 399"),
    ):
        with_verdicts(audited, source, path, **changes)
        done = byheart(*words)
        assert done.code == 2
        assert hint in done.error
    with_verdicts(audited, source, path, label="cat")
    assert "unknown class of example" in byheart("audit", source, "--apply", path).error
    empty = byheart("audit", source, "--out", reviewed / "none", "--reviews", path)
    assert "holds no audit: run the same command" in empty.error
    other = byheart("audit", "digits", "--out", reviewed, "--reviews", path)
    assert "is of other data" in other.error


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--fail-if", "flaged > 0.05"), "did you mean 'flagged'?"),
        (("--fail-if", "flagged >"), "ends too early"),
        (("--fail-if", "__import__('os')"), "cannot be read"),
        (("--fail-if", "flagged > 0"), "which is estimated from reviews"),
        (("--model", "no.such:thing"), "no module 'no'"),
        (("--model", "tests.auditing.networks:smal"), "did you mean 'small'?"),
        (("--device", "cdua"), "did you mean 'cuda'?"),
        (("--epochs", "0"), "epochs must be a whole number of 1 or more"),
        (("--seeds", "1"), "seeds must be a whole number of 2 or more"),
        (("--critical-radius", "x"), "--critical-radius is 'x'"),
        (("--examples", "1000000"), "ask for fewer examples"),
    ],
)
def test_a_wrong_name_or_number_gets_one_line_and_leaves_no_folder(
    byheart: Run, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    named = () if "--model" in words else ("--model", NETWORK)
    refused = byheart("audit", "digits", *named, "--out", tmp_path / "out", *words)
    assert refused.code == 2
    assert hint in refused.error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("untrained")
def test_a_source_that_is_not_there_gets_one_line(byheart: Run) -> None:
    assert "did you mean 'digits'?" in byheart("audit", "digit").error
    assert "SOURCE" in byheart("audit").error


@pytest.mark.usefixtures("untrained")
def test_a_folder_that_cannot_be_written_is_told_before_training(
    byheart: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = byheart("audit", "digits", "--model", NETWORK, "--out", tmp_path / "file" / "out")
    assert refused.code == 2
    assert str(tmp_path / "file") in refused.error


def test_without_pyarrow_the_csv_is_there_and_no_old_parquet(
    byheart: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.parquet").write_text("of an earlier audit")
    monkeypatch.setattr(files, "has_pyarrow", lambda: False)
    words = ("--epochs", "1", "--seeds", "2", "--planted", "0", "--out", tmp_path)
    done = byheart("audit", source, "--model", NETWORK, *words)
    assert done.code == 0
    assert "pip install 'byheart[parquet]'" in done.err
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"table.parquet"}


def test_a_part_of_the_data_says_which_rows_it_is(
    byheart: Run, source: Path, tmp_path: Path
) -> None:
    words = ("--epochs", "1", "--seeds", "2", "--examples", "60", "--out", tmp_path)
    assert byheart("audit", source, "--model", NETWORK, *words).code == 0
    table = pd.read_csv(tmp_path / "table.csv", index_col="id")
    with np.load(source) as data:
        np.testing.assert_array_equal(table["label"], data["y"][table["row"]])


def test_images_are_named_by_their_files(byheart: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "<b>"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(15):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i:02}.png")
    words = ("--epochs", "1", "--seeds", "2", "--planted", "0", "--out", tmp_path / "out")
    done = byheart("audit", tmp_path / "data", *words)
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert set(table["file"]) == {f"{c}/{i:02}.png" for c in ("a", "<b>") for i in range(15)}
    assert all(
        f.startswith(f"{c}/") for f, c in zip(table["file"], table["label_name"], strict=True)
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;/00.png" in page
    assert "<b>/" not in page


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sends a signal in the fifth epoch of the second round, once."""
    train, epochs = TrainingLoop.train_epoch, []

    def stop_by(number: int) -> None:
        def train_epoch(loop: TrainingLoop) -> None:
            epochs.append(loop.epoch)
            if len(epochs) == 12 + 5:
                signal.raise_signal(number)
            train(loop)

        monkeypatch.setattr(TrainingLoop, "train_epoch", train_epoch)

    return stop_by


def test_the_same_command_goes_on_after_ctrl_c(
    byheart: Run, source: Path, tmp_path: Path, audited: Path, stopped: Callable[[int], None]
) -> None:
    stopped(signal.SIGINT)
    words = ("audit", source, "--model", NETWORK, *QUICK, "--out", tmp_path)
    cut = byheart(*words)
    assert cut.code == 130
    assert f"the runs are kept in {tmp_path / 'kept'}, and the same command" in cut.err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    done = byheart(*words)
    assert done.code == 0
    assert f"resuming from {tmp_path / 'kept'}" in done.err
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert (tmp_path / "table.csv").read_bytes() == (audited / "table.csv").read_bytes()


def test_sigterm_says_what_was_kept_and_ends_as_it_should(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stopped: Callable[[int], None]
) -> None:
    stopped(signal.SIGTERM)
    words = ["audit", source, "--model", NETWORK, *QUICK, "--out", tmp_path]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 128 + signal.SIGTERM
    assert "ended by SIGTERM: the files in" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("of an earlier audit")
    command = [sys.executable, "-m", "byheart", "audit", "digits", "--epochs", "100000"]
    program = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    assert "no --model given" in program.stderr.readline()
    os.kill(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1].startswith("interrupted: nothing was kept yet")
    assert "Traceback" not in err
    assert (tmp_path / "table.csv").read_text() == "of an earlier audit"


def test_a_table_is_audited_from_the_file_to_a_page_of_rows(byheart: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    age = rng.integers(20, 70, 120)
    table = pd.DataFrame({"age": age, "city": rng.choice(["Bern", "Oslo"], 120)})
    table["group"] = np.where(age > 45, "older", "younger")
    table.to_csv(tmp_path / "people.csv", index=False)
    options = ("--label", "group", "--seeds", "2", "--epochs", "3", "--out", tmp_path / "out")
    outcome = byheart("audit", tmp_path / "people.csv", *options)
    assert outcome.code == 0
    assert "Labels are in column 'group': 0 = older, 1 = younger" in outcome.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<dt>city</dt><dd>(Bern|Oslo)</dd>", page)
    assert "1 of categories" in page
    wrong = byheart("audit", tmp_path / "people.csv", "--label", "grup", "--out", tmp_path / "out")
    assert wrong.code == 2
    assert "unknown label column 'grup': did you mean 'group'?" in wrong.err
