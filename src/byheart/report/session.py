"""The page of a session: a pure function of what its store holds."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from byheart.errors import ByheartError, StoreError
from byheart.record import Record
from byheart.report.facts import RunFacts
from byheart.report.page import write_report
from byheart.report.sections import Section
from byheart.store import Store
from byheart.studies.base import Records, Setting, Study
from byheart.studies.finding import Finding
from byheart.studies.judging import judge
from byheart.studies.registry import studies_of
from byheart.studies.session import SessionFacts, folder_records, load_session


def report_stored(folder: Path, store: Store) -> tuple[Path, list[Finding]]:
    """Judge the last session in a store, and write its page.

    Args:
        folder: where to.
        store: open for reading.

    Returns:
        The path of the page, and the findings.

    Raises:
        StoreError: nothing was run, a record is damaged or not what a trial leaves, or the folder
            cannot be written.
    """
    facts = load_session(store)
    try:
        records = folder_records(facts, store)
        findings = judge(facts.claims, records, facts.setting, facts.seeds)
        return report_session(folder, facts, records, findings), findings
    except ByheartError:
        raise
    except Exception as error:
        # Whoever makes a store can make its checksums too: what is in it may be anything.
        raise StoreError(
            f"{folder}: its records are not what this version's trials leave "
            f"({type(error).__name__}: {error}): run the study again in another folder; if byheart "
            "wrote them, please report it"
        ) from error


def report_session(
    folder: Path, facts: SessionFacts, records: Mapping[str, Record], findings: Sequence[Finding]
) -> Path:
    """Write the page of a session, and return its path.

    Args:
        folder: where to.
        facts: what was asked for.
        records: by key of the trial.
        findings: what came out.

    Raises:
        StoreError: the folder cannot be written.
    """
    known = Records(records)
    sections = [
        Section(
            title=study.title,
            source=study.source,
            claims=tuple(claim.id for claim in study.claims),
            figures=tuple(study.figures(known, _drawn_setting(facts, study))),
        )
        for study in studies_of(facts.claims)
    ]
    return write_report(folder, _run_facts(facts, records), findings, sections)


def _drawn_setting(facts: SessionFacts, study: Study) -> Setting:
    """Return the setting of a study's figures: with the most seeds of any of its claims."""
    seeds = [
        facts.seeds.get(c.id, facts.setting.seeds) for c in study.claims if c.id in facts.claims
    ]
    return replace(facts.setting, seeds=max(seeds))


def _run_facts(facts: SessionFacts, records: Mapping[str, Record]) -> RunFacts:
    preset, data, own = facts.setting.preset, facts.setting.data, facts.own_network
    return RunFacts(
        command=shlex.join(facts.command),
        preset=preset.name,
        data=data.name,
        data_fingerprint=data.fingerprint,
        examples=data.examples,
        shape=data.shape,
        classes=data.classes,
        seeds=facts.setting.seeds,
        other_seeds=dict(facts.seeds),
        settings=preset.model_dump(mode="json", exclude={"name", "default_data", "seeds"}),
        versions=dict(facts.versions),
        trials=len(records),
        outcomes=dict(Counter(record.outcome for record in records.values())),
        train_seconds=sum(record.seconds for record in records.values()),
        started=facts.started or None,
        device=facts.device,
        runner=facts.runner,
        network=own.about if own else "",
        left_out=dict(own.left_out) if own else {},
    )
