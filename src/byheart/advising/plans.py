"""How many seeds each round has: as the user says, or as many as the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from byheart.advising.arms import Arm, Menu
from byheart.advising.budget import SPARE, Budget
from byheart.errors import InputError
from byheart.store import Store

QUESTION, DECIDED = "advice", "decided"
"""Names in the facts of a stored run: what was asked, and what was decided by the clock."""
LARGEST = 8
"""The largest rounds, by number: more seeds would narrow intervals by little."""


@dataclass(frozen=True)
class Sizes:
    """Seeds of each round.

    Attributes:
        explore: for every strength; then as many again for the better half of the strengths.
        compare: for one strength of each regularizer; fresh.
        confirm: for one regularizer; fresh again.
    """

    explore: int
    compare: int
    confirm: int

    @classmethod
    def number(cls, k: int) -> Sizes:
        """Return the k-th rounds, counted from 1; smaller ones come before them."""
        return cls(1 + k, 3 + 2 * k, 4 + 4 * k)


LEAST = Sizes(1, 4, 5)
"""The smallest rounds; their intervals cover as they should (docs/decisions/advice.md)."""
BY_SIZE = (*(Sizes.number(k) for k in range(LARGEST, 0, -1)), LEAST)
"""From the largest."""


class Decisions:
    """What a run decided by the clock, kept so that the same command decides the same again.

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
        self._facts = {QUESTION: dict(question), "command": list(command)}
        last = (store.last_run() if store is not None else None) or {}
        self.resumed = last.get(QUESTION) == self._facts[QUESTION]
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


class Plan(Protocol):
    """Decides how many seeds the next round has, when those before it are over."""

    def explore(self) -> int:
        """Return the seeds of every strength."""
        ...

    def again(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return whether half of the strengths explore as many seeds more."""
        ...

    def compare(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return how many of some arms, from the most promising, are compared, on which seeds."""
        ...

    def confirm(self, candidates: Sequence[Arm]) -> int:
        """Return the seeds that the first of the candidates is confirmed on."""
        ...

    def another(self, arm: Arm, seeds: int) -> bool:
        """Return whether there is time for one more arm, after one that was not confirmed."""
        ...


@dataclass(frozen=True)
class FixedPlan:
    """The rounds that the user asks for, however long they take."""

    sizes: Sizes

    def explore(self) -> int:
        """Return the seeds of every strength."""
        return self.sizes.explore

    def again(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return True."""
        return True

    def compare(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return that all arms are compared, and on which seeds."""
        return len(arms), self.sizes.compare

    def confirm(self, candidates: Sequence[Arm]) -> int:
        """Return the seeds that a candidate is confirmed on."""
        return self.sizes.confirm

    def another(self, arm: Arm, seeds: int) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class BudgetPlan:
    """The largest rounds that still fit into the budget, each decided when it begins.

    A round that took longer than thought leaves fewer seeds, and in the end fewer regularizers, to
    those after it; one that was faster leaves more.

    Attributes:
        budget: the time there is.
        menu: what there is to choose from.
        decisions: what an earlier run of the same command decided is decided the same again.
    """

    budget: Budget
    menu: Menu
    decisions: Decisions

    def refuse_at_once(self) -> None:
        """Refuse a budget that would be too small were the rehearsal twice as slow as training.

        Raises:
            InputError: it is; says how many minutes the smallest rounds take.
        """
        if not self.decisions.resumed and self._rounds(LEAST) > 2 * self.budget.left:
            raise self._too_little()

    def explore(self) -> int:
        """Return the seeds of every strength.

        Raises:
            InputError: not even the smallest rounds fit; says how many minutes those take.
        """
        return self.decisions.of("explore", self._explore)

    def again(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return whether half of the strengths explore as many seeds more."""
        rest = self._comparing(self.menu.weakest, LEAST)

        def decide() -> int:
            return int(self.budget.cost(half, seeds) + rest <= self.budget.left)

        return bool(self.decisions.of("again", decide))

    def compare(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return how many of some arms, from the most promising, are compared, on which seeds."""
        seeds = self.decisions.of(
            "compare",
            lambda: next(
                (s.compare for s in BY_SIZE if self._comparing(arms, s) <= self.budget.left),
                LEAST.compare,
            ),
        )
        return self.decisions.of("compared", lambda: self._compared(arms, seeds)), seeds

    def confirm(self, candidates: Sequence[Arm]) -> int:
        """Return the seeds that the first candidate is confirmed on; leave time for a second."""
        left = self.budget.left / min(2, len(candidates))
        return self.decisions.of(
            "confirm",
            lambda: next(
                (s.confirm for s in BY_SIZE if self.budget.cost(candidates[:1], s.confirm) <= left),
                LEAST.confirm,
            ),
        )

    def another(self, arm: Arm, seeds: int) -> bool:
        """Return whether there is time for one more arm, after one that was not confirmed."""
        return bool(
            self.decisions.of(
                f"another: {arm.name}",
                lambda: int(self.budget.cost([arm], seeds) <= self.budget.left),
            )
        )

    def _explore(self) -> int:
        for sizes in BY_SIZE:
            if self._rounds(sizes) <= self.budget.left:
                return sizes.explore
        raise self._too_little()

    def _too_little(self) -> InputError:
        needed = (self._rounds(LEAST) + self.budget.gone) / SPARE / 60
        # A little more than it takes, in tenths: what is asked for should then be enough.
        enough = -(-1.1 * needed // 0.1) * 0.1
        return InputError(
            f"minutes is {self.budget.seconds / 60:g}: one round with {len(self.menu.arms)} "
            f"regularizers takes about {enough:.1f} minutes here; give as many, or fewer "
            "regularizers, or fewer epochs"
        )

    def _rounds(self, sizes: Sizes) -> float:
        """Return the seconds that all rounds will take."""
        half = [arm for arms in self.menu.arms.values() for arm in arms[: -(-len(arms) // 2)]]
        exploring = sum(
            self.budget.cost(arms, sizes.explore) for arms in (self.menu.all_arms, half)
        )
        return exploring + self._comparing(self.menu.weakest, sizes)

    def _comparing(self, arms: Sequence[Arm], sizes: Sizes) -> float:
        """Return the seconds that comparing arms and confirming one of them will take."""
        return self.budget.cost(arms, sizes.compare) + self.budget.dearest(arms, sizes.confirm)

    def _compared(self, arms: Sequence[Arm], seeds: int) -> int:
        """Return how many arms there is time for, one at least."""

        def seconds(count: int) -> float:
            first = arms[:count]
            return self.budget.cost(first, seeds) + self.budget.dearest(first, LEAST.confirm)

        return next((n for n in range(len(arms), 0, -1) if seconds(n) <= self.budget.left), 1)
