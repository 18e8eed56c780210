"""The rounds of a study before it is run: as they are expected, and the costliest there can be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from byheart.record import Record
from byheart.studies.base import Setting, Study
from byheart.studies.experience import Experience
from byheart.studies.session import at_most, missing_packs, plan
from byheart.training.packs import Pack
from byheart.trial import Trial


def expected_rounds(
    studies: Sequence[Study],
    setting: Setting,
    experience: Experience,
    known: Mapping[str, Record],
) -> list[list[Trial]]:
    """Return the trials of each round as experience lets expect them, stored ones included.

    A round is planned from what the trials before it left or are expected to leave; where nothing
    is known of one of them, the costliest trials of all rounds to come are the next and last round.

    Args:
        studies: that are to be decided.
        setting: preset, data set and number of seeds.
        experience: what earlier runs spent.
        known: the records there are, by key.
    """
    records: dict[str, Record] = {}
    rounds: list[list[Trial]] = []
    while added := [t for t in plan(studies, setting, records) if t.key not in records]:
        rounds.append(added)
        left = {t.key: known.get(t.key) or experience.expected(t) for t in added}
        if None in left.values():
            planned = records.keys() | left.keys()
            rest = [t for t in at_most(studies, setting, known) if t.key not in planned]
            return [*rounds, rest] if rest else rounds
        records |= {key: record for key, record in left.items() if record is not None}
    return rounds


def costliest_rounds(
    studies: Sequence[Study], setting: Setting, known: Mapping[str, Record]
) -> list[list[Trial]]:
    """Return rounds that take at least as long as any outcome leads to.

    Of what is not known yet, each network and number of examples is a round of its own.

    Args:
        studies: that are to be decided.
        setting: preset, data set and number of seeds.
        known: the records there are, by key.
    """
    first = plan(studies, setting, known)
    planned = {trial.key for trial in first}
    later: dict[tuple[str, int], list[Trial]] = {}
    for trial in at_most(studies, setting, known):
        if trial.key not in planned:
            one = trial.algorithm.network.name, trial.data.train
            later.setdefault(one, []).append(trial)
    return [first, *later.values()]


def packs_of(
    rounds: Sequence[Sequence[Trial]], known: Collection[str], setting: Setting, device: str
) -> list[list[Pack]]:
    """Return the packs of each round that are still to be trained.

    Args:
        rounds: trials of each.
        known: keys of trials that are stored.
        setting: gives the sizes of inputs and outputs.
        device: where they will train.
    """
    missing = [{trial.key for trial in trials} - set(known) for trials in rounds]
    packs = [
        missing_packs(trials, own, setting, device=device)
        for trials, own in zip(rounds, missing, strict=True)
    ]
    return [own for own in packs if own]
