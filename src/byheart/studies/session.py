"""Plan, train and judge a study; stored trials are not trained again."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING

from pydantic import ConfigDict, TypeAdapter, ValidationError

from byheart.errors import StoreError
from byheart.record import Record
from byheart.runners.base import Progress, Runner
from byheart.store import Store
from byheart.studies.base import AdaptiveStudy, Records, Setting, Study
from byheart.studies.judging import Finding, judge
from byheart.studies.own_network import OwnNetwork
from byheart.studies.registry import chosen_claims, studies_of
from byheart.training.packs import Pack, make_packs
from byheart.trial import Trial
from byheart.version import __version__

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.training.prediction import Speeds

_LIBRARIES = ("torch", "numpy", "scipy")


@dataclass(frozen=True)
class SessionFacts:
    """The request, versions and machine: enough to judge and draw again from the store.

    Attributes:
        claims: ids of the claims with findings in the folder, in the registry's order: requested
            claims, and claims that earlier sessions of the same setting decided.
        setting: preset, data set and number of seeds.
        versions: versions of byheart and its libraries, by name.
        machine: system, processor type and number of cores; never a name of the machine.
        runner: name of the runner.
        device: device that trained.
        command: the command line, word by word; empty if there was none.
        started: start of the session (UTC, ISO 8601); empty until it is stored.
        own_network: facts about the user's network; None for byheart's networks.
        seeds: number of seeds per claim, where it differs from the setting's.
    """

    claims: tuple[str, ...]
    setting: Setting
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    runner: str = ""
    device: str = "cpu"
    command: tuple[str, ...] = ()
    started: str = ""
    own_network: OwnNetwork | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)

    # Facts with fields of another version are refused.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def by_seeds(self) -> list[tuple[Setting, list[str]]]:
        """Return the claims in groups of equal numbers of seeds, each with its setting."""
        groups: dict[int, list[str]] = {}
        for claim in self.claims:
            groups.setdefault(self.seeds.get(claim, self.setting.seeds), []).append(claim)
        return [(replace(self.setting, seeds=n), claims) for n, claims in groups.items()]


_FACTS = TypeAdapter(SessionFacts)


@dataclass(frozen=True)
class SessionResult:
    """Results of a session.

    Attributes:
        findings: one per requested claim.
        records: the record of each planned trial, by key.
        trials: all trials of the plan, each once.
        trained: number of trials that this session trained.
        facts: the request, as it is stored.
        folder_findings: one per claim of the folder: ``findings`` and those of earlier sessions.
        folder_records: the records that they use, by key.
    """

    findings: list[Finding]
    records: Mapping[str, Record]
    trials: Sequence[Trial]
    trained: int
    facts: SessionFacts
    folder_findings: list[Finding]
    folder_records: Mapping[str, Record]

    @property
    def failed(self) -> list[Record]:
        """The records of trials that could not be trained."""
        return [record for record in self.records.values() if record.outcome == "failed"]


@dataclass(frozen=True)
class Earlier:
    """Results of earlier sessions in a folder, for a session that adds to it.

    Attributes:
        seeds: number of seeds of each claim whose finding stays, by the claim's id.
        records: the records of their trials, by key.
        left_out: claims that the user's network cannot test, each with its requirement.
        notes: lines that tell the user which findings of the folder are replaced.
    """

    seeds: Mapping[str, int] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_session(
    studies: Sequence[Study],
    claims: Sequence[str],
    setting: Setting,
    dataset: Dataset,
    store: Store,
    runner: Runner,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    command: Callable[[Sequence[str], int], Sequence[str]] = lambda claims, seeds: (),
    own_network: OwnNetwork | None = None,
) -> SessionResult:
    """Plan, train what is missing, and judge.

    An interrupted session can be run again, with the same findings: packs depend only on the whole
    plan, and each pack is stored atomically.

    Findings that earlier sessions of the same preset, data and network left in the folder stay.
    All claims of the folder are judged together, so Holm's correction counts them all.

    Args:
        studies: the studies that decide the claims.
        claims: ids of the claims to judge.
        setting: preset, data set and number of seeds.
        dataset: the uncorrupted data set; its fingerprint is in ``setting.data``.
        store: the store of records, open for writing.
        runner: trains the packs.
        device: "cpu", "cuda" or "mps".
        progress: receives the progress.
        command: called with claims and a number of seeds; returns the words of the command that
            requests them, which is stored with the results.
        own_network: facts about the user's network, stored with the results.

    Returns:
        Findings, and the records that they use.

    Raises:
        StoreError: the store cannot be written or read; what was stored stays.
    """
    progress = progress or Progress()
    earlier = earlier_findings(store, setting, claims)
    for note in earlier.notes:
        progress.note(note)
    in_folder = chosen_claims([*claims, *earlier.seeds])
    other_seeds = {c: n for c, n in earlier.seeds.items() if n != setting.seeds}
    same_seeds = [claim for claim in in_folder if claim not in other_seeds]
    facts = replace(
        current_facts(in_folder, setting, runner=runner.name, device=device),
        command=tuple(command(same_seeds, setting.seeds)),
        own_network=own_network and own_network.also_without(earlier.left_out),
        seeds=other_seeds,
    )
    store.save_run(_FACTS.dump_python(facts, mode="json", exclude={"started"}))
    trials: list[Trial] = []
    records: dict[str, Record] = {}
    trained = 0
    speeds: Speeds | None = None
    with contextlib.closing(progress):
        while True:
            # A round is planned from earlier rounds only, never from other stored records, so that
            # a resumed study has the same packs.
            wanted = plan(studies, setting, records)
            added = [trial for trial in wanted if trial.key not in records]
            if not added:
                break
            missing = {trial.key for trial in store.missing(added)}
            progress.skipped(len(added) - len(missing))
            packs = missing_packs(added, missing, setting, device=device)
            if packs and type(progress) is not Progress:
                later = _later_trials(studies, setting, records, added)
                speeds = speeds or _measure(packs, later, setting, dataset, device, progress)
                if speeds is not None:
                    workers = runner.at_a_time(packs, dataset, device)
                    progress.predicted(*_predict(speeds, packs, later, setting), workers)
            _train(packs, dataset, store, runner, device, progress)
            # All records come from the store, so resumed and uninterrupted runs agree.
            records |= store.records(added)
            trials, trained = wanted, trained + len(missing)
    in_folder_records = {**earlier.records, **records}
    findings = judge(in_folder, in_folder_records, setting, other_seeds)
    return SessionResult(
        findings=[finding for finding in findings if finding.claim in claims],
        records=records,
        trials=trials,
        trained=trained,
        facts=facts,
        folder_findings=findings,
        folder_records=in_folder_records,
    )


def earlier_findings(store: Store, setting: Setting, asked: Sequence[str]) -> Earlier:
    """Return the earlier claims of a folder whose findings stay, with seeds and records.

    A finding stays if the last study in the folder had the same preset, data set and network, and
    all trials of the claim are stored. The number of seeds may differ: each claim keeps its own.

    Raises:
        StoreError: a record is damaged.
    """
    if store.last_run() is None:
        return Earlier()
    try:
        last = load_session(store)
    except StoreError:
        return Earlier(
            notes=(
                f"{store.folder} holds results of another command or version: this study replaces "
                "its findings and page; stored trials stay",
            )
        )
    if replace(last.setting, seeds=setting.seeds) != setting:
        return Earlier(
            notes=(
                f"{store.folder} holds a study of {_in_words(last.setting)}: this one, of "
                f"{_in_words(setting)}, replaces its findings and page. Its trials stay stored: "
                f"`{shlex.join(last.command)}` brings them back without training",
            )
        )
    seeds: dict[str, int] = {}
    records: dict[str, Record] = {}
    incomplete: list[str] = []
    for its_setting, claims in last.by_seeds():
        for study in studies_of(claim for claim in claims if claim not in asked):
            known = stored_records([study], its_setting, store)
            wanted = study.plan(its_setting, Records(known))
            decided = [c.id for c in study.claims if c.id in claims and c.id not in asked]
            if all(trial.key in known for trial in wanted):
                seeds |= dict.fromkeys(decided, its_setting.seeds)
                records |= known
            else:
                incomplete += decided
    notes: tuple[str, ...] = ()
    if incomplete:
        notes = (
            f"not all trials of {', '.join(incomplete)} are stored: without their findings until "
            "the study of these claims is run again",
        )
    left_out = last.own_network.left_out if last.own_network else {}
    return Earlier(seeds, records, left_out, notes)


def _in_words(setting: Setting) -> str:
    model = f" with {setting.model.factory}" if setting.model else ""
    return f"preset '{setting.preset.name}' on {setting.data.name}{model}"


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


def _later_trials(
    studies: Sequence[Study],
    setting: Setting,
    known: Mapping[str, Record],
    added: Sequence[Trial],
) -> list[Trial]:
    """Return the most expensive trials that rounds after these trials could add."""
    adaptive = [study for study in studies if isinstance(study, AdaptiveStudy)]
    now = {*known, *(trial.key for trial in added)}
    return [trial for trial in at_most(adaptive, setting, known) if trial.key not in now]


def _measure(
    packs: Sequence[Pack],
    later: Sequence[Trial],
    setting: Setting,
    dataset: Dataset,
    device: str,
    progress: Progress,
) -> Speeds | None:
    """Measure the machine's speeds on packs and later trials; if that fails, say why."""
    # Torch takes seconds to load; a study whose trials are all stored does not need it.
    from byheart.training.prediction import measure_speeds

    later_packs = missing_packs(later, {trial.key for trial in later}, setting, device=device)
    try:
        return measure_speeds([*packs, *later_packs], dataset, device)
    except Exception as error:
        # Without speeds the study still runs: trials that cannot train are recorded as failed, and
        # the driver of a cluster may lack the device.
        reason = str(error).partition("\n")[0] or type(error).__name__
        progress.note(f"the time that the study takes is unknown: timing its work failed: {reason}")
        return None


def _predict(
    speeds: Speeds, packs: Sequence[Pack], later: Sequence[Trial], setting: Setting
) -> tuple[dict[str, float], float]:
    """Return the expected seconds of each pack by its id, and of the later trials together."""
    sizes = setting.data.shape, len(setting.data.classes)
    seconds = {pack.key: speeds.of(pack.trials, *sizes).expected for pack in packs}
    return seconds, speeds.of(later, *sizes).expected


def folder_records(facts: SessionFacts, store: Store) -> dict[str, Record]:
    """Return the stored records of all claims of a folder, by key of the trial."""
    records: dict[str, Record] = {}
    for setting, claims in facts.by_seeds():
        records |= stored_records(studies_of(claims), setting, store)
    return records


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


def current_facts(
    claims: Sequence[str],
    setting: Setting,
    *,
    runner: str = "",
    device: str = "cpu",
) -> SessionFacts:
    """Return the facts of a session on this machine with the installed versions."""
    versions = {"byheart": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _LIBRARIES}
    machine = {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": str(os.cpu_count() or 1),
    }
    return SessionFacts(tuple(claims), setting, versions, machine, runner, device)


def load_session(store: Store) -> SessionFacts:
    """Return the facts of the last session in a store.

    Raises:
        StoreError: there was no session, or another version of byheart ran it.
    """
    run = store.last_run()
    if run is None:
        raise StoreError(
            f"no study was run in {store.folder}: run `byheart study --out {store.folder}` first"
        )
    if "setting" not in run and run.get("command"):
        raise StoreError(
            f"the last run in {store.folder} was no study: give its command again, "
            f"`{shlex.join(run['command'])}`"
        )
    try:
        return _FACTS.validate_python(run)
    except ValidationError as error:
        version = run.get("versions", {}).get("byheart", "of another version")
        raise StoreError(
            f"the study in {store.folder} was run by byheart {version}, which this byheart "
            f"{__version__} cannot read: run the study again, or use that version"
        ) from error


def _train(
    packs: Sequence[Pack],
    dataset: Dataset,
    store: Store,
    runner: Runner,
    device: str,
    progress: Progress,
) -> None:
    if not packs:
        return
    # Close the generator explicitly, so that an interrupt ends the workers at once.
    results = runner.run(packs, dataset, device=device, progress=progress)
    with contextlib.closing(results):
        for result in results:
            store.add(result.records)
