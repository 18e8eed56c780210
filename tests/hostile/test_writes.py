"""No file is ever written outside ``--out``, the cache of downloads and the temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_commands_write_to_their_folder_and_the_temporary_one_alone(tmp_path: Path) -> None:
    out, temporary, home = (tmp_path / name for name in ("out", "temporary", "home"))
    for folder in (out, temporary, home):
        folder.mkdir()
    # Nothing of this process's: libraries note there where they keep things.
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.watched", str(out)],
        env=env, cwd=home, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    ended = [line.split()[1:] for line in lines if line.startswith("ended ")]
    assert len(ended) == 7
    assert {code for _, code in ended} == {"0"}, done.stderr
    written = {Path(line.removeprefix("wrote ")) for line in lines if line.startswith("wrote ")}
    below = [path for path in written if path.is_relative_to(out)]
    assert {path.relative_to(out).parts[0] for path in below} == {
        "study", "exported", "merged", "audit", "advice",
    }  # fmt: skip
    stray = [
        path
        for path in written - set(below)
        if not path.is_relative_to(temporary) and path != Path(os.devnull)
    ]
    assert stray == []
    assert list(home.iterdir()) == []
