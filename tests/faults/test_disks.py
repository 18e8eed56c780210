"""Disks that are full, read-only or broken, from the start and in the middle."""

import errno
import os
import resource
import subprocess
import sys

import pytest
from tests.faults.hurt import PATIENCE, Hurt
from tests.faults.ledger import FAULTS

SAYS = {
    "ENOSPC": "the disk is full: make room and run the same command again; nothing that finished "
    "is lost",
    "EROFS": "its disk has become read-only: make it writable and run the same command again; "
    "nothing that finished is lost",
    "EIO": "cannot be read or written (disk error)",
}


def fail_in_the_middle(hurt, name):
    """Run a study whose disk fails after a drawn pack; what was stored must still be there."""
    command = (sys.executable, "-m", "tests.faults.failing", name, str(hurt.draw.randint(1, 9)))
    driver = hurt.start("inline", command=command)
    _, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 1
    (line,) = err.splitlines()
    assert line.startswith("error: ") and "results.sqlite" in line and SAYS[name] in line
    hurt.check()


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_keeps_everything_and_says_how_to_go_on(tmp_path):
    fail_in_the_middle(Hurt(tmp_path, None, "disk becomes read-only once"), "EROFS")


@pytest.mark.faults
@pytest.mark.parametrize("name", ["EROFS", "EIO"])
def test_studies_on_a_disk_that_fails_in_the_middle_find_the_same(tmp_path, unhurt, name):
    hurt = Hurt(tmp_path, unhurt[1], f"disk fails in the middle, {name}")
    for _ in range(max(1, FAULTS // 10)):
        fail_in_the_middle(hurt, name)
    hurt.end()


PRIVATELY = ("unshare", "-rm", "sh", "-c")
"""Runs a script in a namespace of its own: what it mounts nobody else sees."""
IN_A_SMALL_DISK = """
set -eu
mkdir -p "$1"
mount -t tmpfs -o size="$2" none "$1"
cp -a "$1.kept/." "$1/"
"$3" -m tests.faults.driver "$1" inline && code=0 || code=$?
mount -o remount,size=1g "$1"
cp -a "$1/." "$1.kept/"
exit $code
"""


@pytest.mark.mount
@pytest.mark.faults
def test_a_real_disk_that_is_full_keeps_everything_and_says_how_to_go_on(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], "disk full (a small file system)")
    largest = (unhurt[0] / "results.sqlite").stat().st_size
    for _ in range(max(1, FAULTS // 4)):
        size = hurt.draw.randrange(largest // 4, largest)
        disk = hurt.folder.with_name("disk")
        kept = hurt.folder.rename(f"{disk}.kept")
        done = subprocess.run(
            [*PRIVATELY, IN_A_SMALL_DISK, "sh", str(disk), str(size), sys.executable],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        kept.rename(hurt.folder)
        disk.rmdir()
        assert done.returncode == 1, done.stderr
        assert SAYS["ENOSPC"] in done.stderr
        hurt.check()
        hurt.finish()


ON_A_READ_ONLY_DISK = """
set -eu
mkdir -p "$1/there"
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
"$2" -m byheart study time-size --out "$3"
"""


@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["new/folder", pytest.param("there", marks=pytest.mark.faults)])
def test_an_output_folder_on_a_read_only_disk_is_one_clear_line(tmp_path, folder):
    done = subprocess.run(
        [*PRIVATELY, ON_A_READ_ONLY_DISK, "sh", tmp_path, sys.executable, tmp_path / folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and folder in line and "--out" in line


LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
runpy.run_module("tests.faults.driver", run_name="__main__")
"""


@pytest.mark.faults
def test_files_that_may_grow_no_further_at_any_size(tmp_path, unhurt):
    hurt = Hurt(tmp_path, unhurt[1], "file size limit (ulimit -f)")
    largest = (unhurt[0] / "results.sqlite").stat().st_size
    while hurt.faults < FAULTS:
        size = hurt.draw.randrange(resource.getpagesize(), largest)
        driver = hurt.start("inline", command=(sys.executable, "-c", LIMITED, str(size)))
        driver.communicate(timeout=PATIENCE)
        hurt.check()
    hurt.end()


def test_the_filter_answers_as_a_disk_would(tmp_path):
    program = (
        "import os, sys, errno; from pathlib import Path;"
        "from tests.faults.syscalls import refuse_writes;"
        f"folder = Path({str(tmp_path)!r}); file = open(folder / 'a', 'wb', buffering=0);"
        "file.write(b'before'); refuse_writes(errno.EROFS); print(os.access(folder, os.W_OK));"
        "print((folder / 'a').read_bytes()); file.write(b'after')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\nb'before'\n"
    assert os.strerror(errno.EROFS) in done.stderr
