"""The trials that studies request, in rounds: the next trials may depend on the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from byheart.record import Record
from byheart.store import Store
from byheart.studies.base import AdaptiveStudy, Records, Setting, Study
from byheart.training.packs import Pack, make_packs
from byheart.trial import Trial


def plan(
    studies: Sequence[Study], setting: Setting, known: Mapping[str, Record] | None = None
) -> list[Trial]:
    """Return the trials that the studies request, each once; ``known`` holds earlier rounds."""
    earlier = Records(known or {})
    trials = (trial for study in studies for trial in study.plan(setting, earlier))
    return list({trial.key: trial for trial in trials}.values())


def at_most(
    studies: Sequence[Study], setting: Setting, known: Mapping[str, Record] | None = None
) -> list[Trial]:
    """Return trials that cost at least as much as those of all rounds, each once.

    They are the trials of the plan. For a study that plans in rounds, the most expensive case
    replaces its later rounds.
    """
    earlier = Records(known or {})
    trials = (trial for study in studies for trial in _bound(study, setting, earlier))
    return list({trial.key: trial for trial in trials}.values())


def _bound(study: Study, setting: Setting, known: Records) -> Sequence[Trial]:
    if isinstance(study, AdaptiveStudy):
        return study.costliest(setting, known)
    return study.plan(setting, known)


def later_trials(
    studies: Sequence[Study],
    setting: Setting,
    known: Mapping[str, Record],
    added: Sequence[Trial],
) -> list[Trial]:
    """Return the most expensive trials that rounds after these trials could add."""
    adaptive = [study for study in studies if isinstance(study, AdaptiveStudy)]
    now = {*known, *(trial.key for trial in added)}
    return [trial for trial in at_most(adaptive, setting, known) if trial.key not in now]


def stored_records(studies: Sequence[Study], setting: Setting, store: Store) -> dict[str, Record]:
    """Return the records of all rounds, as far as they are stored, by key of the trial."""
    records: dict[str, Record] = {}
    while True:
        added = [t for t in plan(studies, setting, records) if t.key not in records]
        stored = store.records(added)
        records |= stored
        if len(stored) < len(added) or not added:
            return records


def missing_packs(
    trials: Sequence[Trial], missing: set[str], setting: Setting, *, device: str = "cpu"
) -> list[Pack]:
    """Return the packs still to be trained, without their stored trials.

    Args:
        trials: the full plan; packs do not depend on which trials are missing.
        missing: keys of trials without a record.
        setting: gives the sizes of inputs and outputs.
        device: the device that will train.
    """
    shape, classes = setting.data.shape, len(setting.data.classes)
    rests = (
        Pack(tuple(trial for trial in pack.trials if trial.key in missing))
        for pack in make_packs(trials, shape=shape, classes=classes, device=device)
    )
    return [rest for rest in rests if rest.trials]
