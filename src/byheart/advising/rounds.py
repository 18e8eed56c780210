"""The rounds of an advice: explore strengths, compare regularizers, confirm one, on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from byheart.advising.arms import PLAIN, Arm, Menu
from byheart.advising.budget import Kind
from byheart.advising.effects import Curves, Effect, Outcomes, assess, choose, standard_error
from byheart.advising.plans import Plan, Sizes
from byheart.advising.trainer import Replica, Trainer, paired
from byheart.advising.trainings import Trainings
from byheart.seeds import seed as seed_of

OnPack = Callable[[str, int, int], None]
MOST_CONFIRMED = 3
"""Arms that are tried on the last seeds, at most."""

ByKind = Mapping[Kind, Sequence[Effect]]


@dataclass(frozen=True)
class RoundsResult:
    """What the rounds found.

    Attributes:
        explored: by regularizer, the strengths that stayed to the end of the exploration.
        left_behind: the strengths that half of its seeds ruled out.
        compared: the chosen strength of every regularizer, on fresh seeds, from the one that had
            been the most promising.
        uncompared: the least promising, for which there was no time.
        confirmed: the most promising of these on seeds that are fresh again, one after the other up
            to the first that helps there too.
        fresh: seeds of the comparison.
        sizes: seeds of each round, as they came to be.
    """

    explored: ByKind
    left_behind: Sequence[Effect]
    compared: Sequence[Effect]
    uncompared: Sequence[Arm]
    confirmed: Sequence[Effect]
    fresh: Sequence[int]
    sizes: Sizes

    def recommended(self, margin: float) -> Effect | None:
        """Return the arm that is confirmed to help; None if none is."""
        last = self.confirmed[-1] if self.confirmed else None
        return last if last is not None and assess(last, margin) == "helps" else None


class AdviceRounds:
    """Explores strengths, compares regularizers and confirms the best, on fresh seeds.

    Args:
        trainer: of the user's network; says what trains together.
        trainings: trains it, or reads what an earlier run has trained.
        menu: what there is to choose from.
        plan: decides how many seeds each round has.
        margin: accuracy that may be lost.
        seed: of all that is drawn.
        on_pack: called with the name of a round, and packs done and in all within it.

    Attributes:
        outcomes: of everything that was trained.
    """

    def __init__(
        self,
        trainer: Trainer,
        trainings: Trainings,
        menu: Menu,
        plan: Plan,
        *,
        margin: float,
        seed: int,
        on_pack: OnPack | None = None,
    ) -> None:
        self._trainer = trainer
        self._trainings = trainings
        self._menu = menu
        self._plan = plan
        self._margin = margin
        self._seed = seed
        self._on_pack = on_pack
        self.outcomes = Outcomes(trainer.checkpoints, *trainer.counts)

    def run(self) -> RoundsResult:
        """Run all rounds.

        Raises:
            InputError: the budget is too small for one round.
        """
        # Plain training is needed anyhow, and says how long a whole training takes.
        self._train("explore", (), self._seeds("explore", 1))
        count = self._plan.explore()
        explored, left_behind = self._explore(count)
        arms = self._chosen(explored)
        many, seeds = self._plan.compare(arms)
        fresh = self._seeds("compare", seeds)
        compared = self._train("compare", arms[:many], fresh)
        candidates = helping_arms(compared, self._margin)[:MOST_CONFIRMED]
        more = self._plan.confirm(candidates) if candidates else 0
        return RoundsResult(
            explored=explored,
            left_behind=left_behind,
            compared=compared,
            uncompared=arms[many:],
            confirmed=self._confirm(candidates, self._seeds("confirm", more)),
            fresh=fresh,
            sizes=Sizes(count, seeds, more),
        )

    def _confirm(self, candidates: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Try arms on fresh seeds, one after the other, up to the first that helps there too."""
        tried: list[Effect] = []
        for arm in candidates:
            if tried and not self._plan.another(arm, len(seeds)):
                break
            tried += self._train("confirm", [arm], seeds)
            if assess(tried[-1], self._margin) == "helps":
                break
        return tried

    def _explore(self, count: int) -> tuple[ByKind, Sequence[Effect]]:
        """Try all strengths on some seeds, and the better half of them on as many more.

        Returns:
            The effects of those that stayed, by regularizer, and of those that did not.
        """
        all_arms, seeds = self._menu.all_arms, self._seeds("explore", 2 * count)
        first = self._by_kind(self._train("explore", all_arms, seeds[:count]))
        error = standard_error(_all(first))
        kept = {
            arm
            for effects in first.values()
            for arm in choose(effects, self._margin, error)[: -(-len(effects) // 2)]
        }
        half = [arm for arm in all_arms if arm in kept]
        if not self._plan.again(half, count):
            return first, ()
        self._train("explore", half, seeds[count:])
        both = self._by_kind(self.outcomes.effect(arm, seeds) for arm in half)
        return both, [effect for effect in _all(first) if effect.arm not in kept]

    def _chosen(self, explored: ByKind) -> list[Arm]:
        """Return one strength of each regularizer, the most promising regularizer first."""
        error = standard_error(_all(explored))
        best = [choose(effects, self._margin, error)[0] for effects in explored.values()]
        of_best = [effect for effect in _all(explored) if effect.arm in best]
        return choose(of_best, self._margin, error)

    def _train(self, name: str, arms: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Train arms, and none, on some seeds, and return the effect of each."""
        packs = list(self._trainer.packs((PLAIN, *arms), seeds))
        curves: dict[Replica, Curves] = {}
        for done, pack in enumerate(packs, 1):
            missing = [r for r in pack if (r.arm, r.seed) not in self.outcomes.curves]
            if missing:
                curves |= self._trainings.of(missing)
            if self._on_pack is not None:
                self._on_pack(name, done, len(packs))
        self.outcomes.curves.update(paired(curves))
        return [self.outcomes.effect(arm, seeds) for arm in arms]

    def _by_kind(self, effects: Iterable[Effect]) -> ByKind:
        effects = list(effects)
        return {kind: [e for e in effects if e.arm.kind is kind] for kind in self._menu.arms}

    def _seeds(self, purpose: str, count: int) -> list[int]:
        return [seed_of("advise", purpose, self._seed, k) for k in range(count)]


def helping_arms(compared: Sequence[Effect], margin: float) -> list[Arm]:
    """Return the arms that seem to help, the most promising first.

    Args:
        compared: one arm per regularizer, on fresh seeds.
        margin: accuracy that may be lost.
    """
    helping = [effect for effect in compared if assess(effect, margin) == "helps"]
    return choose(helping, margin, standard_error(helping))


def _all(by_kind: ByKind) -> list[Effect]:
    return [effect for effects in by_kind.values() for effect in effects]
