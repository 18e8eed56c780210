"""``byheart study`` and ``byheart report``, from the shell's side."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byheart.training import engine

Run = Callable[..., Any]
CLAIMS = ("capacity-noise", "capacity-data")


@pytest.fixture
def study(byheart: Run, tiny: str, tmp_path: Path) -> Run:
    """Return a function that runs a study of a moment into ``tmp_path / "out"``."""

    def run(*more: str) -> Any:
        out = tmp_path / "out"
        return byheart(
            "study", *CLAIMS, "--preset", tiny, "--runner", "inline", "--out", out, *more
        )

    return run


def findings(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    return rows


def test_a_study_prints_verdicts_and_the_path_of_its_page(study: Run, tmp_path: Path) -> None:
    done = study()
    assert done.code == 0, done.err
    assert all(claim in done.out for claim in CLAIMS)
    page = Path(done.out.splitlines()[-1])
    assert page == tmp_path / "out" / "report.html"
    assert page.is_file()
    assert (tmp_path / "out" / "results.sqlite").is_file()
    assert list((tmp_path / "out" / "figures").glob("*.svg"))


def test_json_is_all_of_stdout_and_equals_the_file(study: Run, tmp_path: Path) -> None:
    done = study("--json")
    assert json.loads(done.out) == findings(tmp_path / "out")
    assert [row["claim"] for row in json.loads(done.out)] == list(CLAIMS)


def test_open_claims_get_more_seeds_and_too_few_are_refused_in_one_line(study: Run) -> None:
    done = study("--until-decided", "--most-seeds", "5")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--most-seeds is 5" in done.err
    done = study("--until-decided", "--most-seeds", "6", "--json")
    assert {row["look"] for row in json.loads(done.out)} <= {1, 2}


def test_a_finished_study_trains_nothing_and_finds_the_same(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study()
    before = (tmp_path / "out" / "findings.json").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(engine, "train", refuse)
    again = study()
    assert again.code == 0
    assert "stored already" in again.err
    assert (tmp_path / "out" / "findings.json").read_bytes() == before


def test_what_is_drawn_again_is_the_same(byheart: Run, study: Run, tmp_path: Path) -> None:
    assert study().code == 0
    folder = tmp_path / "out"
    drawn = [folder / "report.html", folder / "findings.json", *folder.glob("figures/*.svg")]
    before = {path: path.read_bytes() for path in drawn}
    for path in drawn:
        path.unlink()
    again = byheart("report", folder)
    assert again.code == 0
    assert again.out.splitlines()[-1] == str(folder / "report.html")
    assert {path: path.read_bytes() for path in drawn} == before
    assert json.loads(byheart("report", folder, "--json").out) == findings(folder)


def test_a_report_of_a_folder_without_a_study_gets_one_line(byheart: Run, tmp_path: Path) -> None:
    refused = byheart("report", tmp_path / "nothing")
    assert refused.code == 2
    assert str(tmp_path / "nothing") in refused.error
    assert not (tmp_path / "nothing").exists()


def test_a_failed_trial_is_told_and_ends_with_code_1(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for this pack")

    monkeypatch.setattr(engine, "train", fail)
    failed = study("--json")
    assert failed.code == 1
    assert "no room for this pack" in failed.err
    assert all(row["failed"] > 0 for row in json.loads(failed.out))
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("csr-niose",), "did you mean 'csr-noise'?"),
        (("--preset", "quik"), "did you mean 'quick'?"),
        (("--data", "digit"), "did you mean 'digits'?"),
        (("--device", "cdua"), "did you mean 'cuda'?"),
        (("--address", "auto"), "--address goes with --runner ray, not with --runner processes"),
        (("--runner", "ray", "--device", "mps"), "known are cpu, cuda"),
        (("--runner", "proceses"), "did you mean 'processes'?"),
        (("--seeds", "0"), "at least 1"),
        (("--workers", "0"), "at least 1"),
        (("--hang-after", "-1"), "--hang-after is -1: give minutes, or 0 to wait for ever"),
        (("--data", "no/such/file.npz"), "no/such/file.npz"),
    ],
)
def test_a_wrong_name_or_number_gets_one_line_and_leaves_no_folder(
    byheart: Run, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    refused = byheart("study", "--out", tmp_path / "out", *words)
    assert refused.code == 2
    assert hint in refused.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("device", "home"), [("cuda", "cuda"), ("mps", "backends.mps")])
def test_a_device_that_is_not_there_gets_one_line(
    byheart: Run, monkeypatch: pytest.MonkeyPatch, device: str, home: str
) -> None:
    monkeypatch.setattr(f"torch.{home}.is_available", lambda: False)
    refused = byheart("study", "--device", device)
    assert refused.code == 2
    assert f"'{device}' is not available here" in refused.error


def test_a_folder_that_cannot_be_written_gets_one_line(byheart: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = byheart("study", "--out", tmp_path / "file" / "out")
    assert refused.code == 2
    assert str(tmp_path / "file") in refused.error


def test_too_few_examples_are_told_before_anything_is_trained(byheart: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 6), dtype=np.float32), np.arange(40) % 2
    np.savez(tmp_path / "small.npz", x=x, y=y)
    refused = byheart("study", "--data", tmp_path / "small.npz", "--out", tmp_path / "out")
    assert refused.code == 2
    assert "too small for preset 'quick'" in refused.error
    assert not (tmp_path / "out").exists()


def test_a_corrupt_store_gets_one_line_and_is_kept(study: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    store = tmp_path / "out" / "results.sqlite"
    store.write_bytes(b"this is no database, but somebody may want it" * 100)
    before = store.read_bytes()
    refused = study()
    assert refused.code == 2
    assert str(store) in refused.error
    assert store.read_bytes() == before


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from byheart.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(byheart: Run, tmp_path: Path) -> None:
    words = ("study", "randx-binomial", "--seeds", "3", "--runner", "inline")
    command = [sys.executable, "-c", FULL_DISK, *words, "--out", str(tmp_path)]
    full = subprocess.run(command, capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    assert full.stdout == ""
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert byheart("store", "verify", tmp_path).code == 0


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_the_same_command_resumes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "byheart", "study", "randx-binomial", "--seeds", "3"]
    # One worker suffices: tests/runners/test_processes.py ends several at once.
    command += ["--workers", "1", "--out", str(tmp_path)]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stderr is not None
    assert "training" in started.stderr.readline()
    # As a terminal does it: to every process of the study.
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("give the same command to continue")
    resumed = subprocess.run(command, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
