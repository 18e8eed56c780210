"""Number of seeds of each round: given by the user, or the most that the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from byheart.advising.arms import Arm, Menu
from byheart.advising.budget import SPARE, Budget
from byheart.errors import InputError
from byheart.store import Store

QUESTION, DECIDED = "advice", "decided"
"""Keys in the facts of a stored run: the request, and the decisions that depended on time."""
LARGEST = 8
"""Number of the largest sizes: more seeds would hardly narrow the intervals."""


@dataclass(frozen=True)
class Sizes:
    """Number of seeds of each round.

    Attributes:
        explore: seeds of every strength, and again of the better half of the strengths.
        compare: seeds of one strength of each regularizer.
        confirm: seeds of one regularizer.
    """

    explore: int
    compare: int
    confirm: int

    @classmethod
    def number(cls, k: int) -> Sizes:
        """Return the k-th smallest sizes, counted from 1."""
        return cls(1 + k, 3 + 2 * k, 4 + 4 * k)


LEAST = Sizes(1, 4, 5)
"""The smallest rounds; their intervals cover as they should (docs/decisions/advice.md)."""
BY_SIZE = (*(Sizes.number(k) for k in range(LARGEST, 0, -1)), LEAST)
"""All sizes, the largest first."""


class Decisions:
    """Decisions that depend on time, stored so that the same command decides the same again.

    Args:
        store: stores the decisions; None to store none.
        question: everything that the answer depends on, as JSON values.
        command: the command line, word by word; empty if there was none.

    Attributes:
        resumed: the last run in the store had the same question.
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
        """Return the stored decision, or decide now and store it."""
        if name not in self._made:
            self._made[name] = decide()
            self._keep()
        return self._made[name]

    def _keep(self) -> None:
        if self._store is not None:
            self._store.save_run({**self._facts, DECIDED: self._made})


class Plan(Protocol):
    """Decides the number of seeds of the next round, once the earlier rounds are over."""

    def exploration_seeds(self) -> int:
        """Return the number of seeds of every strength."""
        ...

    def has_time_to_repeat(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return whether there is time to train ``half`` of the strengths on ``seeds`` more."""
        ...

    def comparison_size(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return how many arms, most promising first, are compared, and on how many seeds."""
        ...

    def confirmation_seeds(self, candidates: Sequence[Arm]) -> int:
        """Return the number of seeds for confirming the first candidate."""
        ...

    def has_time_for(self, arm: Arm, seeds: int) -> bool:
        """Return whether there is time for another arm, after one was not confirmed."""
        ...


@dataclass(frozen=True)
class FixedPlan:
    """Sizes that the user gives, however long they take."""

    sizes: Sizes

    def exploration_seeds(self) -> int:
        """Return the number of seeds of every strength."""
        return self.sizes.explore

    def has_time_to_repeat(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return True."""
        return True

    def comparison_size(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return the number of arms, and the number of seeds."""
        return len(arms), self.sizes.compare

    def confirmation_seeds(self, candidates: Sequence[Arm]) -> int:
        """Return the number of seeds for confirming a candidate."""
        return self.sizes.confirm

    def has_time_for(self, arm: Arm, seeds: int) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class BudgetPlan:
    """The largest rounds that fit into the time left, each decided when it begins.

    After a round that took longer than predicted, later rounds get fewer seeds, and at last fewer
    regularizers. After a faster one they get more.

    Attributes:
        budget: the time.
        menu: the arms.
        decisions: decisions of an earlier run of the same command.
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

    def exploration_seeds(self) -> int:
        """Return the number of seeds of every strength.

        Raises:
            InputError: not even the smallest rounds fit; says how many minutes those take.
        """
        return self.decisions.of("explore", self._explore)

    def has_time_to_repeat(self, half: Sequence[Arm], seeds: int) -> bool:
        """Return whether there is time to train ``half`` of the strengths on ``seeds`` more."""
        rest = self._comparing(self.menu.weakest, LEAST)

        def decide() -> int:
            return int(self.budget.cost(half, seeds) + rest <= self.budget.left)

        return bool(self.decisions.of("again", decide))

    def comparison_size(self, arms: Sequence[Arm]) -> tuple[int, int]:
        """Return how many arms, most promising first, are compared, and on how many seeds."""
        seeds = self.decisions.of(
            "compare",
            lambda: next(
                (s.compare for s in BY_SIZE if self._comparing(arms, s) <= self.budget.left),
                LEAST.compare,
            ),
        )
        return self.decisions.of("compared", lambda: self._compared(arms, seeds)), seeds

    def confirmation_seeds(self, candidates: Sequence[Arm]) -> int:
        """Return the number of seeds for confirming a candidate; leave time for a second one."""
        left = self.budget.left / min(2, len(candidates))
        return self.decisions.of(
            "confirm",
            lambda: next(
                (s.confirm for s in BY_SIZE if self.budget.cost(candidates[:1], s.confirm) <= left),
                LEAST.confirm,
            ),
        )

    def has_time_for(self, arm: Arm, seeds: int) -> bool:
        """Return whether there is time for another arm, after one was not confirmed."""
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
        """Return the number of arms for which there is time, at least 1."""

        def seconds(count: int) -> float:
            first = arms[:count]
            return self.budget.cost(first, seeds) + self.budget.dearest(first, LEAST.confirm)

        return next((n for n in range(len(arms), 0, -1) if seconds(n) <= self.budget.left), 1)
