"""What the README and the pages print as code, files and commands works as printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.studies.installed import install as install

from byheart.cli.main import main
from byheart.studies.registry import claims
from byheart.version import __version__

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
CLUSTER = HOW_TO / "cluster"
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "tutorials" / "first-study.md",
    *(
        HOW_TO / f"{name}.md"
        for name in ("advise", "audit", "photos", "recipe", "table", "text", "track")
    ),
]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r'^```python title="(.+?)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
OWN_NETWORK = (HOW_TO / "own-network.md").read_text(encoding="utf-8")


@pytest.mark.slow
# Frameworks warn of this machine, and of settings that a page leaves at their defaults.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = list(CODE.finditer(text))
    assert blocks, f"{page.name} shows no code"
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        # Blank lines put the code at its place on the page, so that a traceback points there.
        lines_above = "\n" * (text[: block.start(1)].count("\n"))
        exec(compile(lines_above + block[1], str(page), "exec"), names)
    if page.stem == "advise":
        before, cleaned, advised = names["steps"].values()
        assert advised > before
        assert min(before, cleaned) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run_and_its_outputs_are_not_kept(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        assert cell["outputs"] == []
        exec(compile("".join(cell["source"]), str(path), "exec"), names)
    assert list(tmp_path.glob("*.html"))


def test_the_commands_for_an_own_network_plan_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = FILE.findall(OWN_NETWORK)
    commands = re.findall(r"^byheart study (.*--model .*)$", OWN_NETWORK, re.MULTILINE)
    assert files
    assert commands
    for name, text in files:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for words in commands:
        # Only the second claim: the first would rehearse its searches, which takes long.
        options = words.replace("csr-noise ", "").split()
        assert main(["plan", *options, "--seeds", "3"]) == 0
    (line,) = re.findall(r"^mynet:network: .*$", OWN_NETWORK, re.MULTILINE)
    assert line in capsys.readouterr().err.splitlines()


def test_the_page_on_own_networks_names_what_each_claim_needs() -> None:
    for claim in claims():
        if claim.needs:
            row = rf"`{claim.id}`.*\| {re.escape(claim.needs)} \|$"
            assert re.search(row, OWN_NETWORK, re.MULTILINE), claim.id


def test_the_batch_file_is_sound_bash() -> None:
    subprocess.run(["bash", "-n", CLUSTER / "byheart.sbatch"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", CLUSTER / "byheart.sbatch"], check=True)


def test_the_ray_job_has_the_pinned_ray_and_one_image() -> None:
    job = yaml.safe_load((CLUSTER / "byheart-rayjob.yaml").read_text(encoding="utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pinned
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups}
    assert images == {f"REGISTRY/byheart:{__version__}"}
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_cluster_files_use_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    lines = [
        line.strip()
        for path in CLUSTER.iterdir()
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    commands = [line for line in lines if "study --" in line or "STUDY[@]" in line]
    assert len(commands) == 3
    assert set(re.findall(r"--[a-z-]+", " ".join(commands))) <= known


def test_the_claim_of_the_page_is_found_trained_and_drawn(
    tmp_path: Path, install: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    text = (HOW_TO / "own-claim.md").read_text(encoding="utf-8")
    (project,) = re.findall(r'^```toml title="pyproject.toml"\n(.*?)^```$', text, re.S | re.M)
    package = tomllib.loads(project)["project"]
    install(package["name"], dict(FILE.findall(text)), package["entry-points"]["byheart.claims"])
    monkeypatch.chdir(tmp_path)
    for words in re.findall(r"^byheart ((?:claims|study|report).*)$", text, re.M):
        assert main(words.split()) == 0
    assert "small-batches  our own" in capsys.readouterr().out
    page = Path("out/small-batches/report.html").read_text(encoding="utf-8")
    assert 'id="claim-small-batches"' in page
    assert '<figure id="small-batches"' in page
    names: dict[str, Any] = {}
    exec(CODE.findall(text)[0], names)  # the same trials: it trains nothing
    assert names["findings"].table.verdict.tolist() == ["supported"]
