"""Which packs hang: those that neither report an epoch nor use a processor; never a slow one."""

import pytest

from byheart.runners.silence import HANG_AFTER, LOOK, Silence, beats_every

PACK = "pack"


class Listened:
    """A silence on a clock that is moved by hand, looked at as often as a driver would."""

    def __init__(self, hang_after=HANG_AFTER):
        self.now = 0.0
        self.silence = Silence(hang_after, lambda: self.now)

    def wait(self, seconds, *, used=None):
        """Let seconds pass; a pulse says how much processor time was used by then."""
        begun = self.now
        while self.now < begun + seconds:
            self.now = min(self.now + self.silence.look, begun + seconds)
            self.silence.tick()
            if used is not None:
                self.silence.beat(PACK, used(self.now))

    @property
    def hangs(self):
        return self.silence.reason(PACK)


def test_a_pack_without_a_sign_of_life_hangs():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.wait(HANG_AFTER)
    assert heard.hangs is None
    heard.wait(LOOK)
    assert heard.hangs == "no epoch and no processor time in 10 min 00 s"


def test_an_epoch_is_a_sign_of_life():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    for _ in range(20):
        heard.wait(HANG_AFTER - LOOK)
        heard.silence.epoch(PACK)
        assert heard.hangs is None


@pytest.mark.parametrize("share", [1.0, 0.005])
def test_processor_time_is_a_sign_of_life_however_little_a_busy_machine_gives(share):
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.wait(100 * HANG_AFTER, used=lambda now: share * now)
    assert heard.hangs is None
    stopped = heard.now
    heard.wait(HANG_AFTER + LOOK, used=lambda now: share * stopped)
    assert heard.hangs is not None


def test_what_a_pulse_itself_costs_is_no_life():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.wait(2 * HANG_AFTER, used=lambda now: 1e-4 * now / beats_every(HANG_AFTER))
    assert heard.hangs is not None


def test_time_in_which_the_driver_did_not_listen_is_no_silence():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.now += 100 * HANG_AFTER
    heard.silence.tick()
    assert heard.hangs is None


def test_a_process_that_starts_has_ten_minutes_at_least():
    heard = Listened(hang_after=2.0)
    heard.silence.start(PACK)
    heard.wait(HANG_AFTER - 1)
    assert heard.hangs is None
    heard.wait(2)
    assert heard.hangs is not None


def test_a_pack_that_computes_without_end_is_told_by_the_slowest_that_ended():
    heard = Listened()
    heard.silence.begin("slow", 10.0)
    heard.silence.begin("fast", 1000.0)
    heard.wait(1000, used=None)
    heard.silence.end("slow")
    heard.silence.end("fast")
    heard.silence.begin(PACK, 1.0)
    heard.wait(9_999, used=lambda now: now)
    assert heard.hangs is None
    heard.wait(10, used=lambda now: now)
    assert heard.hangs == "it computes, but reported no epoch in 2 h 46 min"


def test_without_a_pack_that_ended_nothing_is_known_and_computing_never_counts_as_hanging():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.wait(10**6, used=lambda now: now)
    assert heard.hangs is None


def test_an_hour_is_always_allowed_to_what_computes():
    heard = Listened()
    heard.silence.begin("quick", 1000.0)
    heard.wait(1.0)
    heard.silence.end("quick")
    heard.silence.begin(PACK, 1.0)
    heard.wait(3600, used=lambda now: now)
    assert heard.hangs is None
    heard.wait(10, used=lambda now: now)
    assert heard.hangs is not None


def test_who_waits_for_ever_never_calls_it_hanging_and_asks_for_no_pulse():
    heard = Listened(hang_after=None)
    heard.silence.begin(PACK, 1.0)
    heard.wait(10**6)
    assert heard.hangs is None
    assert beats_every(None) is None


def test_what_is_not_listened_to_does_not_hang():
    heard = Listened()
    heard.silence.begin(PACK, 1.0)
    heard.silence.forget(PACK)
    heard.silence.epoch(PACK)
    heard.silence.beat(PACK, 1.0)
    heard.silence.end(PACK)
    heard.wait(2 * HANG_AFTER)
    assert PACK not in heard.silence
    assert heard.hangs is None
