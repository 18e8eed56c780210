"""Search for a regularizer in three rounds on new seeds: explore, compare, confirm."""

from __future__ import annotations

import math
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
MAX_CONFIRMATION_ARMS = 3
"""The confirmation round tries at most this many arms."""

EffectsByRegularizer = Mapping[Kind, Sequence[Effect]]


@dataclass(frozen=True)
class RoundsResult:
    """Results of the three rounds. An arm is a regularizer at one strength.

    Attributes:
        explored: for each regularizer, the effects of the strengths kept to the end of exploration.
        dropped: effects of the strengths dropped after the first half of the exploration seeds.
        compared: effect of each regularizer's best strength on new seeds, most promising first.
        not_compared: arms for which there was no time, the least promising ones.
        confirmed: effects of the arms tried on a third set of seeds; only the last may have helped.
        comparison_seeds: seeds of the comparison.
        sizes: number of seeds of each round.
    """

    explored: EffectsByRegularizer
    dropped: Sequence[Effect]
    compared: Sequence[Effect]
    not_compared: Sequence[Arm]
    confirmed: Sequence[Effect]
    comparison_seeds: Sequence[int]
    sizes: Sizes

    def recommended(self, margin: float) -> Effect | None:
        """Return the effect of the arm that was confirmed to help; None if no arm was."""
        last = self.confirmed[-1] if self.confirmed else None
        return last if last is not None and assess(last, margin) == "helps" else None


class AdviceRounds:
    """Explores strengths, compares regularizers and confirms the best, each on new seeds.

    Args:
        trainer: groups the user's networks into packs that train together.
        trainings: trains networks, or loads their stored results.
        menu: the arms.
        plan: decides the number of seeds of each round.
        margin: loss of accuracy that still counts as harmless.
        seed: base seed; all other seeds derive from it.
        on_pack: called with the name of the round, its finished packs, and all its packs.

    Attributes:
        outcomes: learning curves of all trained networks.
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
        # Train without a regularizer first: every effect needs it, and it measures training time.
        self._train("explore", (), self._seeds("explore", 1))
        count = self._plan.exploration_seeds()
        explored, dropped = self._explore(count)
        arms = self._best_strengths(explored)
        arm_count, seed_count = self._plan.comparison_size(arms)
        comparison_seeds = self._seeds("compare", seed_count)
        compared = self._train("compare", arms[:arm_count], comparison_seeds)
        candidates = helping_arms(compared, self._margin)[:MAX_CONFIRMATION_ARMS]
        confirmation_seeds = self._plan.confirmation_seeds(candidates) if candidates else 0
        return RoundsResult(
            explored=explored,
            dropped=dropped,
            compared=compared,
            not_compared=arms[arm_count:],
            confirmed=self._confirm(candidates, self._seeds("confirm", confirmation_seeds)),
            comparison_seeds=comparison_seeds,
            sizes=Sizes(count, seed_count, confirmation_seeds),
        )

    def _confirm(self, candidates: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Try arms on new seeds, one after another, up to the first that helps there too."""
        tried: list[Effect] = []
        for arm in candidates:
            if tried and not self._plan.has_time_for(arm, len(seeds)):
                break
            tried += self._train("confirm", [arm], seeds)
            if assess(tried[-1], self._margin) == "helps":
                break
        return tried

    def _explore(self, count: int) -> tuple[EffectsByRegularizer, Sequence[Effect]]:
        """Train all strengths on ``count`` seeds, and the better half on ``count`` more.

        Returns:
            The effects of the better half, by regularizer, and of the other half.
        """
        all_arms, seeds = self._menu.all_arms, self._seeds("explore", 2 * count)
        first = self._by_regularizer(self._train("explore", all_arms, seeds[:count]))
        error = standard_error(_flatten(first))
        kept = {
            arm
            for effects in first.values()
            for arm in choose(effects, self._margin, error)[: math.ceil(len(effects) / 2)]
        }
        half = [arm for arm in all_arms if arm in kept]
        if not self._plan.has_time_to_repeat(half, count):
            return first, ()
        self._train("explore", half, seeds[count:])
        both = self._by_regularizer(self.outcomes.effect(arm, seeds) for arm in half)
        return both, [effect for effect in _flatten(first) if effect.arm not in kept]

    def _best_strengths(self, explored: EffectsByRegularizer) -> list[Arm]:
        """Return one strength of each regularizer, the most promising regularizer first."""
        error = standard_error(_flatten(explored))
        best = [choose(effects, self._margin, error)[0] for effects in explored.values()]
        best_effects = [effect for effect in _flatten(explored) if effect.arm in best]
        return choose(best_effects, self._margin, error)

    def _train(self, name: str, arms: Sequence[Arm], seeds: Sequence[int]) -> list[Effect]:
        """Train the arms and the plain network on the seeds; return the effect of each arm."""
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

    def _by_regularizer(self, effects: Iterable[Effect]) -> EffectsByRegularizer:
        effects = list(effects)
        return {kind: [e for e in effects if e.arm.kind is kind] for kind in self._menu.arms}

    def _seeds(self, purpose: str, count: int) -> list[int]:
        return [seed_of("advise", purpose, self._seed, k) for k in range(count)]


def helping_arms(compared: Sequence[Effect], margin: float) -> list[Arm]:
    """Return the arms that seem to help, the most promising first.

    Args:
        compared: effects of one arm per regularizer, on new seeds.
        margin: loss of accuracy that still counts as harmless.
    """
    helping = [effect for effect in compared if assess(effect, margin) == "helps"]
    return choose(helping, margin, standard_error(helping))


def _flatten(effects_by_regularizer: EffectsByRegularizer) -> list[Effect]:
    return [effect for effects in effects_by_regularizer.values() for effect in effects]
