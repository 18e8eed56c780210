"""What is tried again after a fault, how often, and in how large a piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from byheart.runners.needs import Needs, halves
from byheart.training.packs import Pack

Fault = Literal["node", "process", "memory", "hang"]
"""A node was lost with all it did; a process died; a pack did not fit into memory; it hung."""
HANGS = 2
"""Processes that may hang with a pack before it counts as failed."""
LOSSES = 10
"""Nodes that a pack may lose: it is not its fault, but a cluster that loses them all is no use."""
_WORDS = {
    "node": "its node was lost {losses} times",
    "process": "its worker died {deaths} times, perhaps out of memory",
    "hang": "it hung {hangs} times: {cause}",
    "memory": "it does not fit into memory, neither whole nor in halves",
}
_IN_WORDS = ("OutOfMemoryError", "MemoryError", "out of memory", "can't allocate memory")
"""How libraries say that there was no memory."""


@dataclass(frozen=True)
class Part:
    """A pack on its way, or a half of one.

    Attributes:
        whole: the pack as it was planned.
        pack: what of it is trained.
        need: what it asks of a node.
        deaths: processes that died of it.
        losses: nodes that were lost with it.
        hangs: processes that hung with it.
        split: it was cut, or given more memory, once: there is no second time.
    """

    whole: Pack
    pack: Pack
    need: Needs
    deaths: int = 0
    losses: int = 0
    hangs: int = 0
    split: bool = False


def again(part: Part, fault: Fault) -> tuple[Part, ...]:
    """Return what to try after a fault; nothing where enough was tried.

    A lost node costs nothing but time. A pack that hung is tried once more. A process that died may
    have been the kernel's choice where memory was short, and is tried once more whole; after that,
    and where memory is known to have been the cause, each half is tried once, with the memory that
    the whole had asked for.

    Args:
        part: what was being trained.
        fault: what happened.
    """
    if fault == "node":
        lost = replace(part, losses=part.losses + 1)
        return (lost,) if lost.losses < LOSSES else ()
    if fault == "hang":
        hung = replace(part, hangs=part.hangs + 1)
        return (hung,) if hung.hangs < HANGS else ()
    part = replace(part, deaths=part.deaths + (fault == "process"))
    if part.split:
        return ()
    if fault == "process" and part.deaths == 1:
        return (part,)
    return cut(part)


def cut(part: Part) -> tuple[Part, ...]:
    """Return the halves of a part, each with the needs of the whole; a lone trial with twice its.

    Args:
        part: was never cut before.
    """
    pieces = halves(part.pack)
    need = part.need if len(pieces) > 1 else part.need.doubled()
    return tuple(replace(part, pack=piece, need=need, split=True) for piece in pieces)


def fitted(part: Part, nodes: Sequence[Needs]) -> tuple[Part, ...]:
    """Return a part in pieces that some node has the memory for, as far as is known."""
    if part.need.within(nodes) == part.need:
        return (part,)
    pieces = (part,) if part.split else cut(part)
    return tuple(replace(piece, need=piece.need.within(nodes)) for piece in pieces)


def reason_of(part: Part, fault: Fault, cause: str = "") -> str:
    """Return why a part is given up after a fault, with what is known of its cause."""
    return _WORDS[fault].format(
        losses=part.losses + 1, deaths=part.deaths + 1, hangs=part.hangs + 1, cause=cause
    )


def ran_out_of_memory(reason: str) -> bool:
    """Return whether a failed training says that there was no memory."""
    return any(word in reason for word in _IN_WORDS)
