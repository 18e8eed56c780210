import errno
import os
from pathlib import Path

import pytest

from byheart.errors import StoreError
from byheart.files import require_folder, write_text


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert write_text(tmp_path / "a" / "b.txt", "x").read_text(encoding="utf-8") == "x"


def test_a_full_disk_is_one_line_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_text(tmp_path / "report.html", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        write_text(old, "new")
    assert str(caught.value) == (
        f"cannot write '{old}': No space left on device; free some space or choose another folder"
    )
    assert old.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    blocked = write_text(tmp_path / "out", "a file")
    with pytest.raises(StoreError, match=r"cannot write '.*out/report\.html'") as caught:
        write_text(blocked / "report.html", "x")
    assert "\n" not in str(caught.value)


def test_an_interrupted_write_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "report.html", "new")
    assert list(tmp_path.iterdir()) == []


def test_no_command_writes_over_the_page_of_another(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text("{}", encoding="utf-8")
    require_folder(tmp_path, "audit")
    with pytest.raises(StoreError, match=r"holds the results of `byheart audit`: choose another"):
        require_folder(tmp_path, "study")
