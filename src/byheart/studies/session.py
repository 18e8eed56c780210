"""Plan, train and judge a study; stored trials are not trained again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from byheart.record import Record
from byheart.runners.base import Progress, Runner
from byheart.statistics.looks import look_seeds
from byheart.store import Store
from byheart.studies.base import Setting, Study
from byheart.studies.folder import SessionFacts, current_facts, earlier_findings
from byheart.studies.judging import Finding, judge
from byheart.studies.own_network import OwnNetwork
from byheart.studies.registry import chosen_claims
from byheart.studies.rounds import later_trials, missing_packs, plan
from byheart.training.packs import Pack
from byheart.trial import Trial

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.training.prediction import Speeds


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


def run_session(
    studies: Sequence[Study],
    claims: Sequence[str],
    setting: Setting,
    dataset: Dataset,
    store: Store,
    runner: Runner,
    *,
    most_seeds: int | None = None,
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
        most_seeds: the number of seeds is doubled for claims that are open, up to this number; None
            for a fixed number of seeds.
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
    facts = replace(
        current_facts(in_folder, setting, runner=runner.name, device=device),
        own_network=own_network and own_network.also_without(earlier.left_out),
        seeds={claim: n for claim, n in earlier.seeds.items() if n != setting.seeds},
        looks=dict(earlier.looks) if most_seeds is None else {**earlier.looks, **_look(claims, 1)},
    )
    facts = replace(facts, command=tuple(command(_claims_to_repeat(facts, claims), setting.seeds)))
    facts.save(store)
    training = _Training(dataset, store, runner, device, progress)
    findings: list[Finding] = []
    open_claims: Sequence[str] = claims
    with contextlib.closing(progress):
        for look, seeds in enumerate(look_seeds(setting.seeds, most_seeds or setting.seeds), 1):
            if look > 1:
                count = f"{len(open_claims)} claim{'s' if len(open_claims) > 1 else ''}"
                progress.note(f"{count} open: {seeds} seeds for {', '.join(open_claims)}")
                facts = facts.at_look(open_claims, look, seeds)
            training.train(_studies_of(open_claims, studies), replace(setting, seeds=seeds))
            records = {**earlier.records, **training.records}
            findings = judge(in_folder, records, setting, facts.seeds, facts.looks)
            if look > 1:
                facts.save(store)
            open_claims = [f.claim for f in findings if f.open and f.claim in open_claims]
            if not open_claims:
                break
    return SessionResult(
        findings=[finding for finding in findings if finding.claim in claims],
        records=training.records,
        trials=list(training.trials.values()),
        trained=training.trained,
        facts=facts,
        folder_findings=findings,
        folder_records={**earlier.records, **training.records},
    )


def _look(claims: Sequence[str], look: int) -> dict[str, int]:
    return dict.fromkeys(claims, look)


def _claims_to_repeat(facts: SessionFacts, asked: Sequence[str]) -> list[str]:
    """Return the claims that the command of the requested claims gives again, in order."""
    looks = {claim in facts.looks for claim in asked}
    return [
        claim
        for claim in facts.claims
        if claim in asked
        or ({claim in facts.looks} == looks and facts.first_seeds(claim) == facts.setting.seeds)
    ]


def _studies_of(claims: Sequence[str], studies: Sequence[Study]) -> list[Study]:
    return [study for study in studies if any(claim.id in claims for claim in study.claims)]


@dataclass
class _Training:
    """Trains what the store lacks, and collects the records.

    Attributes:
        records: the records of all trials so far, by key.
        trials: these trials, by key.
        trained: number of trials that were trained.
    """

    dataset: Dataset
    store: Store
    runner: Runner
    device: str
    progress: Progress
    records: dict[str, Record] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    trained: int = 0
    _speeds: Speeds | None = None

    def train(self, studies: Sequence[Study], setting: Setting) -> None:
        """Train all rounds of the studies."""
        while True:
            # A round is planned from earlier rounds only, never from other stored records, so that
            # a resumed study has the same packs.
            wanted = plan(studies, setting, self.records)
            added = [trial for trial in wanted if trial.key not in self.records]
            if not added:
                return
            missing = {trial.key for trial in self.store.missing(added)}
            self.progress.skipped(len(added) - len(missing))
            packs = missing_packs(added, missing, setting, device=self.device)
            if packs and type(self.progress) is not Progress:
                self._predict(packs, later_trials(studies, setting, self.records, added), setting)
            self._train(packs)
            # All records come from the store, so resumed and uninterrupted runs agree.
            self.records |= self.store.records(added)
            self.trials |= {trial.key: trial for trial in added}
            self.trained += len(missing)

    def _train(self, packs: Sequence[Pack]) -> None:
        if not packs:
            return
        # Close the generator explicitly, so that an interrupt ends the workers at once.
        results = self.runner.run(packs, self.dataset, device=self.device, progress=self.progress)
        with contextlib.closing(results):
            for result in results:
                self.store.add(result.records)

    def _predict(self, packs: Sequence[Pack], later: Sequence[Trial], setting: Setting) -> None:
        """Tell the progress the expected seconds of each pack, and of later trials together."""
        speeds = self._speeds or _measure(
            packs, later, setting, self.dataset, self.device, self.progress
        )
        if speeds is None:
            return
        self._speeds = speeds
        sizes = setting.data.shape, len(setting.data.classes)
        seconds = {pack.key: speeds.of(pack.trials, *sizes).expected for pack in packs}
        later_seconds = speeds.of(later, *sizes).expected
        workers = self.runner.at_a_time(packs, self.dataset, self.device)
        self.progress.predicted(seconds, later_seconds, workers)


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
