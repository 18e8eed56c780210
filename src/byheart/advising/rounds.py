"""The rounds of an advice: explore strengths, compare regularizers, confirm one, on fresh seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from byheart.advising.arms import PLAIN, Arm, Menu
from byheart.advising.budget import LEAST, Budget, Sizes
from byheart.advising.judging import choose, standard_error, verdict
from byheart.advising.outcomes import Curves, Effect, Outcomes
from byheart.advising.pace import Kind
from byheart.advising.trainer import Replica, Trainer, paired
from byheart.seeds import seed as seed_of

OnPack = Callable[[str, int, int], None]
HOPES = 3
"""At most so many arms are tried on the last seeds."""

ByKind = Mapping[Kind, Sequence[Effect]]


@dataclass(frozen=True)
class Found:
    """What the rounds left.

    Attributes:
        explored: by regularizer, the strengths that stayed to the end of the exploration.
        left_behind: the strengths that half of its seeds ruled out.
        compared: the chosen strength of every regularizer, on fresh seeds.
        confirmed: the most promising of these on seeds that are fresh again, one after the other up
            to the first that helps there too.
        fresh: seeds of the comparison.
        sizes: seeds of each round, as they came to be.
    """

    explored: ByKind
    left_behind: Sequence[Effect]
    compared: Sequence[Effect]
    confirmed: Sequence[Effect]
    fresh: Sequence[int]
    sizes: Sizes

    def recommended(self, margin: float) -> Effect | None:
        """Return the arm that is confirmed to help; None if none is."""
        last = self.confirmed[-1] if self.confirmed else None
        return last if last is not None and verdict(last, margin) == "helps" else None


class Rounds:
    """Runs the rounds.

    Args:
        trainer: of the user's network.
        menu: what there is to choose from.
        margin: accuracy that may be lost.
        seed: of all that is drawn.
        budget: to keep; None to take the sizes as they are.
        on_pack: called with the name of a round, and packs done and in all within it.

    Attributes:
        outcomes: of everything that was trained.
    """

    def __init__(
        self,
        trainer: Trainer,
        menu: Menu,
        *,
        margin: float,
        seed: int,
        budget: Budget | None,
        on_pack: OnPack | None = None,
    ) -> None:
        self._trainer = trainer
        self._menu = menu
        self._margin = margin
        self._seed = seed
        self._budget = budget
        self._on_pack = on_pack
        self.outcomes = Outcomes(trainer.checkpoints, *trainer.counts)

    def run(self, sizes: Sizes) -> Found:
        """Run all rounds, later ones with fewer seeds if earlier ones took longer than thought."""
        explored, left_behind = self._explore(sizes.explore)
        arms = self._chosen(explored)
        count = self._affordable(arms, sizes.compare, then=arms)
        fresh = self._seeds("compare", count)
        compared = self._train("compare", arms, fresh)
        found = Found(
            explored, left_behind, compared, (), fresh, replace(sizes, compare=count, confirm=0)
        )
        hopes = hopeful(compared, self._margin)[:HOPES]
        if not hopes:
            return found
        more = self._affordable(hopes[:1], sizes.confirm)
        confirmed = self._confirm(hopes, self._seeds("confirm", more))
        return replace(found, confirmed=confirmed, sizes=replace(found.sizes, confirm=more))

    def _confirm(self, hopes: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Try arms on fresh seeds, one after the other, up to the first that helps there too."""
        tried: list[Effect] = []
        for arm in hopes:
            late = self._budget is not None and self._budget.cost([arm], len(seeds)) > (
                self._budget.left
            )
            if tried and late:
                break
            tried += self._train("confirm", [arm], seeds)
            if verdict(tried[-1], self._margin) == "helps":
                break
        return tried

    def _explore(self, count: int) -> tuple[ByKind, Sequence[Effect]]:
        """Try all strengths on some seeds, and the better half of them on as many more.

        Returns:
            The effects of those that stayed, by regularizer, and of those that did not.
        """
        every, seeds = self._menu.every, self._seeds("explore", 2 * count)
        found = self._by_kind(self._train("explore", every, seeds[:count]))
        error = standard_error(_all(found))
        kept = {
            arm
            for own in found.values()
            for arm in choose(own, self._margin, error)[: -(-len(own) // 2)]
        }
        half = [arm for arm in every if arm in kept]
        if self._budget is not None:
            one = self._menu.weakest
            rest = self._budget.cost(one, LEAST.compare) + self._budget.dearest(one, LEAST.compare)
            if self._budget.cost(half, count) + rest > self._budget.left:
                return found, ()
        self._train("explore", half, seeds[count:])
        both = self._by_kind(self.outcomes.effect(arm, seeds) for arm in half)
        return both, [effect for effect in _all(found) if effect.arm not in kept]

    def _chosen(self, explored: ByKind) -> list[Arm]:
        """Return one strength of each regularizer."""
        error = standard_error(_all(explored))
        return [choose(own, self._margin, error)[0] for own in explored.values()]

    def _affordable(self, arms: Sequence[Arm], wanted: int, *, then: Sequence[Arm] = ()) -> int:
        if self._budget is None:
            return wanted
        kept = self._budget.dearest(then, LEAST.compare) if then else 0.0
        return self._budget.affordable(arms, wanted, LEAST.compare, kept=kept)

    def _train(self, name: str, arms: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Train arms, and none, on some seeds, and return the effect of each."""
        start = time.monotonic()
        known = {arm for arm, seed in self.outcomes.curves if seed in set(seeds)}
        packs = list(
            self._trainer.packs([arm for arm in (PLAIN, *arms) if arm not in known], seeds)
        )
        found: dict[Replica, Curves] = {}
        for done, pack in enumerate(packs, 1):
            found |= self._trainer.train(pack)
            if self._on_pack is not None:
                self._on_pack(name, done, len(packs))
        self.outcomes.add(paired(found))
        if self._budget is not None:
            self._budget.took(arms, len(seeds), time.monotonic() - start)
        return [self.outcomes.effect(arm, seeds) for arm in arms]

    def _by_kind(self, effects: Iterable[Effect]) -> ByKind:
        every = list(effects)
        return {kind: [one for one in every if one.arm.kind is kind] for kind in self._menu.arms}

    def _seeds(self, purpose: str, count: int) -> list[int]:
        return [seed_of("advise", purpose, self._seed, k) for k in range(count)]


def hopeful(compared: Sequence[Effect], margin: float) -> list[Arm]:
    """Return the arms that seem to help, the most promising first.

    Args:
        compared: one arm per regularizer, on fresh seeds.
        margin: accuracy that may be lost.
    """
    helping = [one for one in compared if verdict(one, margin) == "helps"]
    return choose(helping, margin, standard_error(helping))


def _all(found: ByKind) -> list[Effect]:
    return [effect for own in found.values() for effect in own]
