"""Where there is no terminal, a few lines say how it goes; where there is one, bars that fit."""

import io
import re
import subprocess
import sys

import pytest
from rich.console import Console
from tests.runners.examples import a_pack
from tests.runners.test_timeleft import Clock

from byheart.runners.base import failed
from byheart.runners.progress import PlainProgress, Progress, RichProgress, make_progress

TIME = re.compile(r"\b\d+:\d\d\b")
"""Minutes and seconds left, whatever they are on a busy machine."""


@pytest.fixture
def clock():
    return Clock()


def plain(clock, packs, every=10.0):
    stream = io.StringIO()
    progress = PlainProgress(stream, every, clock)
    progress.planned({pack.key: 1.0 for pack in packs})
    return progress, stream


def test_lines_come_at_the_start_now_and_then_and_at_the_end(clock):
    pack, last = packs = [a_pack(0), a_pack(1)]
    progress, stream = plain(clock, packs)
    progress.started(pack)
    for epoch in range(1, 101):
        clock.now += 0.25
        progress.epoch(pack, epoch, 100)
    progress.finished(pack, [])
    progress.started(last)
    clock.now += 25.0
    progress.finished(last, [])
    progress.close()
    assert stream.getvalue().splitlines() == [
        "training 2 packs",
        "0 of 2 packs done, about 40 s left",
        "0 of 2 packs done, about 30 s left",
        "2 of 2 packs done in 50 s",
    ]


def test_a_long_first_epoch_admits_that_it_is_too_early_to_tell(clock):
    packs = [a_pack(0)]
    progress, stream = plain(clock, packs)
    progress.started(packs[0])
    clock.now = 60.0
    progress.epoch(packs[0], 1, 1000)
    assert stream.getvalue().splitlines()[-1] == "0 of 1 pack done, time left not known yet"


def test_a_failed_pack_is_said_at_once(clock):
    packs = [a_pack(0), a_pack(1)]
    progress, stream = plain(clock, packs)
    progress.started(packs[0])
    progress.finished(packs[0], failed(packs[0], "RuntimeError: no luck", "cpu").records)
    assert stream.getvalue().splitlines()[-1] == "FAILED 2 x 8, n=20: RuntimeError: no luck"


def test_stored_trials_are_mentioned_only_where_there_are_some(clock):
    progress, stream = plain(clock, [])
    progress.skipped(0)
    assert stream.getvalue() == ""
    progress.skipped(12)
    assert stream.getvalue() == "12 trials are stored already\n"


def test_a_reader_that_went_away_does_not_end_the_study(clock):
    progress, stream = plain(clock, [])
    stream.close()
    progress.skipped(12)


def test_lines_go_to_stderr_and_without_a_terminal_there_are_no_bars(capsys):
    progress = make_progress()
    assert isinstance(progress, PlainProgress)
    progress.skipped(1)
    assert capsys.readouterr() == ("", "1 trial is stored already\n")
    assert isinstance(make_progress(quiet=True), Progress)


def test_in_a_terminal_there_are_bars(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(make_progress(), RichProgress)


@pytest.mark.parametrize("width", [80, 40])
def test_bars_fit_the_terminal_with_names_numbers_and_time_left(width):
    screen = Console(
        file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None
    )
    progress = RichProgress(screen)
    packs = [a_pack(seed, hidden=128, size=50) for seed in range(3)]
    progress.planned({pack.key: 1.0 for pack in packs})
    progress.started(packs[0])
    progress.started(packs[1])
    progress.finished(packs[0], [])
    progress.epoch(packs[1], 50, 100)
    lines = drawn(progress, width)
    progress.close()
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    overall, running = lines
    assert overall.startswith("1 of 3 packs") and "50%" in overall and TIME.search(overall)
    assert running.startswith("50 x 128, n=20") and "50%" in running and TIME.search(running)
    assert "━" in running


def test_more_packs_than_lines_do_not_scroll():
    screen = Console(file=io.StringIO(), width=80, height=10, force_terminal=True)
    progress = RichProgress(screen)
    packs = [a_pack(seed) for seed in range(30)]
    progress.planned({pack.key: 1.0 for pack in packs})
    for pack in packs:
        progress.started(pack)
        progress.epoch(pack, 1, 100)
    lines = drawn(progress, 80)
    progress.close()
    assert len(lines) <= 8


def test_bars_say_what_failed_and_what_is_stored_in_lines_that_stay():
    file = io.StringIO()
    screen = Console(file=file, width=80, height=10, force_terminal=True, color_system=None)
    progress = RichProgress(screen)
    pack = a_pack(0)
    progress.skipped(12)
    progress.planned({pack.key: 1.0})
    progress.started(pack)
    progress.finished(pack, failed(pack, "[odd] error", "cpu").records)
    progress.close()
    assert "12 trials are stored already" in file.getvalue()
    assert "FAILED 2 x 8, n=20: [odd] error" in file.getvalue()


def test_nothing_to_train_draws_no_bar():
    file = io.StringIO()
    progress = RichProgress(Console(file=file, force_terminal=True))
    progress.planned({})
    progress.close()
    assert file.getvalue().strip() == ""


def test_progress_and_runners_do_not_wait_for_torch():
    script = "import sys, byheart.runners; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def drawn(progress, width):
    page = Console(file=io.StringIO(), width=width, height=24, color_system=None)
    page.print(progress._bars.get_renderable())
    return page.file.getvalue().rstrip("\n").splitlines()


def test_lines_of_a_later_round_go_on_counting(clock):
    first, second = a_pack(0), a_pack(1)
    progress, stream = plain(clock, [])
    for pack, later in ((first, 6.0), (second, 0.0)):
        progress.predicted({pack.key: 4.0}, later, 2)
        progress.planned({pack.key: 1.0})
        progress.started(pack)
        clock.now += 4.0
        progress.finished(pack, [])
    assert stream.getvalue().splitlines() == [
        "training 1 pack, about 5 s",
        "1 of 1 pack done in 4 s",
        "training 1 pack more, chosen by what came out, about 4 s",
        "2 of 2 packs done in 8 s",
    ]


def test_bars_of_a_later_round_share_the_overall_one():
    screen = Console(
        file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None
    )
    progress = RichProgress(screen)
    for seed in (0, 1):
        pack = a_pack(seed)
        progress.planned({pack.key: 1.0})
        progress.started(pack)
        progress.finished(pack, [])
    lines = drawn(progress, 80)
    progress.close()
    assert len(lines) == 1
    assert lines[0].startswith("2 of 2 packs")
