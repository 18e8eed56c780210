"""How valid files are damaged: by chance, and where a parser believes a number."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("BYHEART_EXAMPLES", "25"))
"""Inputs per reader: few in every run of the tests, many in `make fuzz`."""

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    # The short form tries the same inputs every time; the long one looks for new ones.
    derandomize="BYHEART_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
"""Lengths and counts that overflow something, or ask for more memory than there is."""

Damage = Callable[[bytes], bytes]


def damages(others: Sequence[bytes]) -> st.SearchStrategy[Damage]:
    """Return ways to damage a file.

    Args:
        others: files of the same format, of which parts are spliced in.
    """
    place = st.floats(0, 1)
    kinds = st.sampled_from([order + size for order in "<>" for size in "BHIQ"])
    other = st.integers(0, len(others) - 1)  # rather than its bytes, which a failure would print
    return st.one_of(
        st.builds(_flip, place, st.integers(0, 7)),
        st.builds(_write, place, st.binary(min_size=1, max_size=8)),
        st.builds(_number, place, st.sampled_from(NUMBERS), kinds),
        st.builds(_truncate, place),
        st.builds(_cut, place, place),
        st.builds(_insert, place, st.binary(min_size=1, max_size=40)),
        st.builds(_swap, place, place, st.integers(1, 16)),
        st.builds(lambda one, two, which: _splice(one, two, others[which]), place, place, other),
        st.builds(_extend, st.binary(min_size=1, max_size=64)),
    )


def damaged(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return what becomes of valid files that are damaged one to five times, or are garbage."""
    ways = st.lists(damages(files), min_size=1, max_size=5)
    which = st.integers(0, len(files) - 1)
    broken = st.builds(lambda which, ways: _all(files[which], ways), which, ways)
    return st.one_of(broken, broken, broken, st.binary(max_size=200))


def _all(content: bytes, ways: Sequence[Damage]) -> bytes:
    for way in ways:
        content = way(content)
    return content


def _at(content: bytes, place: float) -> int:
    return min(int(place * len(content)), max(len(content) - 1, 0))


def _flip(place: float, bit: int) -> Damage:
    def damage(content: bytes) -> bytes:
        if not content:
            return content
        at, flipped = _at(content, place), bytearray(content)
        flipped[at] ^= 1 << bit
        return bytes(flipped)

    return damage


def _write(place: float, new: bytes) -> Damage:
    def damage(content: bytes) -> bytes:
        at = _at(content, place)
        return content[:at] + new + content[at + len(new) :]

    return damage


def _number(place: float, number: int, kind: str) -> Damage:
    return _write(place, struct.pack(kind, number % 2 ** (8 * struct.calcsize(kind))))


def _truncate(place: float) -> Damage:
    return lambda content: content[: _at(content, place)]


def _cut(one: float, other: float) -> Damage:
    def damage(content: bytes) -> bytes:
        start, stop = sorted((_at(content, one), _at(content, other)))
        return content[:start] + content[stop:]

    return damage


def _insert(place: float, new: bytes) -> Damage:
    return lambda content: content[: _at(content, place)] + new + content[_at(content, place) :]


def _swap(one: float, other: float, size: int) -> Damage:
    def damage(content: bytes) -> bytes:
        a, b = sorted((_at(content, one), _at(content, other)))
        if a + size > b:
            return content
        first, second = content[a : a + size], content[b : b + size]
        return content[:a] + second + content[a + size : b] + first + content[b + size :]

    return damage


def _splice(one: float, other: float, new: bytes) -> Damage:
    return lambda content: content[: _at(content, one)] + new[_at(new, other) :]


def _extend(more: bytes) -> Damage:
    return lambda content: content + more
