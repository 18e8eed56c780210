"""What a run decided by the clock, kept so that the same command decides the same again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from byheart.store import Store

ADVICE, DECIDED = "advice", "decided"
"""Facts of a run in a store: what was asked for, and what was decided by the clock."""


class Decisions:
    """Numbers that were decided, by name.

    Args:
        store: where they are kept; None to keep none.
        question: all that an answer depends on, as JSON values.
        command: the command line, word by word; empty if there was none.

    Attributes:
        resumed: the last run in the store was asked the same.
    """

    def __init__(
        self, store: Store | None, question: Mapping[str, Any], command: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._facts = {ADVICE: dict(question), "command": list(command)}
        last = (store.last_run() if store is not None else None) or {}
        self.resumed = last.get(ADVICE) == self._facts[ADVICE]
        self._made: dict[str, int] = dict(last[DECIDED]) if self.resumed else {}
        if not self.resumed:
            self._keep()

    def of(self, name: str, decide: Callable[[], int]) -> int:
        """Return what was decided, or decide now and keep it."""
        if name not in self._made:
            self._made[name] = decide()
            self._keep()
        return self._made[name]

    def _keep(self) -> None:
        if self._store is not None:
            self._store.save_run({**self._facts, DECIDED: self._made})
