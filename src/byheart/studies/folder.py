"""What a study's folder says of its last session, and which of its findings a new one keeps."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata

from pydantic import ConfigDict, TypeAdapter, ValidationError

from byheart.errors import StoreError
from byheart.record import Record
from byheart.store import Store
from byheart.studies.base import Records, Setting
from byheart.studies.own_network import OwnNetwork
from byheart.studies.registry import claims as registered_claims
from byheart.studies.registry import studies_of
from byheart.studies.rounds import stored_records
from byheart.version import __version__

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
        looks: number of the last look at the data, per claim that gets seeds until it is decided.
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
    looks: Mapping[str, int] = field(default_factory=dict)

    # Facts with fields of another version are refused.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def by_seeds(self) -> list[tuple[Setting, list[str]]]:
        """Return the claims in groups of equal numbers of seeds, each with its setting."""
        groups: dict[int, list[str]] = {}
        for claim in self.claims:
            groups.setdefault(self.seeds.get(claim, self.setting.seeds), []).append(claim)
        return [(replace(self.setting, seeds=n), claims) for n, claims in groups.items()]

    def first_seeds(self, claim: str) -> int:
        """Return the number of seeds at the first look at a claim."""
        seeds = self.seeds.get(claim, self.setting.seeds)
        return seeds >> (self.looks.get(claim, 1) - 1)

    def at_look(self, claims: Sequence[str], look: int, seeds: int) -> SessionFacts:
        """Return the facts after a later look at some claims, with so many seeds."""
        return replace(
            self,
            seeds={**self.seeds, **dict.fromkeys(claims, seeds)},
            looks={**self.looks, **dict.fromkeys(claims, look)},
        )

    def save(self, store: Store) -> None:
        """Store the facts, as those of the last session."""
        store.save_run(_FACTS.dump_python(self, mode="json", exclude={"started"}))


_FACTS = TypeAdapter(SessionFacts)


@dataclass(frozen=True)
class Earlier:
    """Results of earlier sessions in a folder, for a session that adds to it.

    Attributes:
        seeds: number of seeds of each claim whose finding stays, by the claim's id.
        looks: number of the last look, per claim that got seeds until it was decided.
        records: the records of their trials, by key.
        left_out: claims that the user's network cannot test, each with its requirement.
        notes: lines that tell the user which findings of the folder are replaced.
    """

    seeds: Mapping[str, int] = field(default_factory=dict)
    looks: Mapping[str, int] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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
        StoreError: there was no session, another version of byheart ran it, or the package of a
            claim is not installed.
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
        facts = _FACTS.validate_python(run)
    except ValidationError as error:
        version = run.get("versions", {}).get("byheart", "of another version")
        raise StoreError(
            f"the study in {store.folder} was run by byheart {version}, which this byheart "
            f"{__version__} cannot read: run the study again, or use that version"
        ) from error
    unknown = {*facts.claims} - {claim.id for claim in registered_claims()}
    if unknown:
        raise StoreError(
            f"the study in {store.folder} has claims that byheart does not know "
            f"({', '.join(sorted(unknown))}): install the package that they come from"
        )
    return facts


def folder_records(facts: SessionFacts, store: Store) -> dict[str, Record]:
    """Return the stored records of all claims of a folder, by key of the trial."""
    records: dict[str, Record] = {}
    for setting, claims in facts.by_seeds():
        records |= stored_records(studies_of(claims), setting, store)
    return records


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
    looks = {claim: look for claim, look in last.looks.items() if claim in seeds}
    return Earlier(seeds, looks, records, left_out, notes)


def _in_words(setting: Setting) -> str:
    network = setting.model.factory if setting.model else f"{setting.preset.network.upper()}s"
    return f"preset '{setting.preset.name}' on {setting.data.name} with {network}"
