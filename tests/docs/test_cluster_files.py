"""The files of the how-to that users take are well formed, and give commands that exist."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from byheart.cli.main import main

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "how-to" / "cluster"


def test_the_batch_file_is_sound_bash():
    subprocess.run(["bash", "-n", FILES / "byheart.sbatch"], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", FILES / "byheart.sbatch"], check=True)


def test_the_ray_job_has_the_pinned_ray_and_one_image():
    job = yaml.safe_load((FILES / "byheart-rayjob.yaml").read_text(encoding="utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pinned
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    assert images == {f"REGISTRY/byheart:{version}"}
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_commands_have_only_options_that_exist(capsys: pytest.CaptureFixture[str]):
    main(["study", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    texts = [path.read_text(encoding="utf-8") for path in FILES.iterdir()]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    given = [one for one in lines if "study --" in one or "STUDY[@]" in one]
    assert len(given) == 3
    assert set(re.findall(r"--[a-z-]+", " ".join(given))) <= known
