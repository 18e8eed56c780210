"""Which packs hang: those that neither report an epoch nor use a processor; never a slow one."""

import pytest

from byheart.runners.hangs import CHECK_EVERY, HANG_AFTER, HangDetector, cpu_report_interval

PACK = "pack"


class Watched:
    """A silence on a clock that is moved by hand, looked at as often as a driver would."""

    def __init__(self, hang_after=HANG_AFTER):
        self.now = 0.0
        self.detector = HangDetector(hang_after, lambda: self.now)

    def wait(self, seconds, *, used=None):
        """Let seconds pass; a pulse says how much processor time was used by then."""
        begun = self.now
        while self.now < begun + seconds:
            self.now = min(self.now + self.detector.check_every, begun + seconds)
            self.detector.tick()
            if used is not None:
                self.detector.cpu_time(PACK, used(self.now))

    @property
    def hangs(self):
        return self.detector.reason(PACK)


def test_a_pack_without_a_sign_of_life_hangs():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.wait(HANG_AFTER)
    assert watched.hangs is None
    watched.wait(CHECK_EVERY)
    assert watched.hangs == "no epoch and no processor time in 10 min 00 s"


def test_an_epoch_is_a_sign_of_life():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    for _ in range(20):
        watched.wait(HANG_AFTER - CHECK_EVERY)
        watched.detector.epoch(PACK)
        assert watched.hangs is None


@pytest.mark.parametrize("share", [1.0, 0.005])
def test_processor_time_is_a_sign_of_life_however_little_a_busy_machine_gives(share):
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.wait(100 * HANG_AFTER, used=lambda now: share * now)
    assert watched.hangs is None
    stopped = watched.now
    watched.wait(HANG_AFTER + CHECK_EVERY, used=lambda now: share * stopped)
    assert watched.hangs is not None


def test_what_a_pulse_itself_costs_is_no_life():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.wait(2 * HANG_AFTER, used=lambda now: 1e-4 * now / cpu_report_interval(HANG_AFTER))
    assert watched.hangs is not None


def test_time_in_which_the_driver_did_not_listen_is_no_silence():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.now += 100 * HANG_AFTER
    watched.detector.tick()
    assert watched.hangs is None


def test_a_process_that_starts_has_ten_minutes_at_least():
    watched = Watched(hang_after=2.0)
    watched.detector.start_process(PACK)
    watched.wait(HANG_AFTER - 1)
    assert watched.hangs is None
    watched.wait(2)
    assert watched.hangs is not None


def test_a_pack_that_computes_without_end_is_told_by_the_slowest_that_ended():
    watched = Watched()
    watched.detector.begin("slow", 10.0)
    watched.detector.begin("fast", 1000.0)
    watched.wait(1000, used=None)
    watched.detector.end("slow")
    watched.detector.end("fast")
    watched.detector.begin(PACK, 1.0)
    watched.wait(9_999, used=lambda now: now)
    assert watched.hangs is None
    watched.wait(10, used=lambda now: now)
    assert watched.hangs == "it computes, but reported no epoch in 2 h 46 min"


def test_without_a_pack_that_ended_nothing_is_known_and_computing_never_counts_as_hanging():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.wait(10**6, used=lambda now: now)
    assert watched.hangs is None


def test_an_hour_is_always_allowed_to_what_computes():
    watched = Watched()
    watched.detector.begin("quick", 1000.0)
    watched.wait(1.0)
    watched.detector.end("quick")
    watched.detector.begin(PACK, 1.0)
    watched.wait(3600, used=lambda now: now)
    assert watched.hangs is None
    watched.wait(10, used=lambda now: now)
    assert watched.hangs is not None


def test_who_waits_for_ever_never_calls_it_hanging_and_asks_for_no_pulse():
    watched = Watched(hang_after=None)
    watched.detector.begin(PACK, 1.0)
    watched.wait(10**6)
    assert watched.hangs is None
    assert cpu_report_interval(None) is None


def test_what_is_not_listened_to_does_not_hang():
    watched = Watched()
    watched.detector.begin(PACK, 1.0)
    watched.detector.forget(PACK)
    watched.detector.epoch(PACK)
    watched.detector.cpu_time(PACK, 1.0)
    watched.detector.end(PACK)
    watched.wait(2 * HANG_AFTER)
    assert PACK not in watched.detector
    assert watched.hangs is None
