"""A study that adds seeds to open claims: old trials stay, decided claims get none, it resumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.studies.test_session import Trainer
from tests.studies.tiny import tiny_dataset, tiny_setting, without_timings

from byheart.report.study import redraw
from byheart.runners.base import InlineRunner, Progress
from byheart.store import Store
from byheart.studies import session
from byheart.studies.folder import load_session
from byheart.studies.judging import Finding, judge
from byheart.studies.registry import studies_of
from byheart.studies.rounds import plan
from byheart.studies.session import SessionResult, run_session

CLAIMS = ("capacity-noise", "capacity-data")


class Notes(Progress):
    """Remembers the lines that a user would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def run(
    folder: Path, trainer: Trainer, claims: Sequence[str] = CLAIMS, **options: Any
) -> SessionResult:
    dataset = tiny_dataset()
    options = {"most_seeds": 12, **options}
    with Store.open(folder) as store:
        return run_session(
            studies_of(claims),
            claims,
            tiny_setting(dataset),
            dataset,
            store,
            InlineRunner(1, trainer),
            **options,
        )


def keys(claim: str, *, seeds: int) -> set[str]:
    trials = plan(studies_of([claim]), tiny_setting(tiny_dataset(), seeds=seeds))
    return {trial.key for trial in trials}


def judge_as(**verdicts: str) -> Any:
    """Return ``judge``, but with these verdicts from the first look on; other claims are open."""

    def judged(*arguments: Any) -> list[Finding]:
        return [
            finding.model_copy(
                update={
                    "verdict": verdicts.get(finding.claim.replace("-", "_"), "inconclusive"),
                    "open": finding.claim.replace("-", "_") not in verdicts,
                }
            )
            for finding in judge(*arguments)
        ]

    return judged


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SessionResult, Trainer]:
    """Three looks: at 3, 6 and 12 seeds, since three seeds cannot decide anything."""
    folder, trainer = tmp_path_factory.mktemp("finished"), Trainer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "judge", judge_as())
        return folder, run(folder, trainer), trainer


Finished = tuple[Path, SessionResult, Trainer]


def test_open_claims_get_more_seeds_and_the_first_ones_keep_their_trials(
    finished: Finished,
) -> None:
    _, result, _ = finished
    assert [finding.n for finding in result.findings] == [12, 12]
    assert [finding.look for finding in result.findings] == [3, 3]
    first = {
        trial.key for trial in plan(studies_of(["capacity-noise"]), tiny_setting(tiny_dataset()))
    }
    assert first < {trial.key for trial in result.trials}
    assert len(result.trials) == len({trial.key for trial in result.trials}) == result.trained


def test_no_look_judges_the_errors_of_another_twice(finished: Finished) -> None:
    _, result, _ = finished
    for finding in result.findings:
        assert finding.p_holm >= min(1.0, 8 * finding.p)


def test_interrupted_at_any_pack_it_resumes_at_its_look_with_the_same_packs(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole, trainer = finished
    monkeypatch.setattr(session, "judge", judge_as())
    packs = trainer.packs
    for stop in range(1, len(packs) + 1, 2):
        folder = tmp_path / str(stop)
        stopped, resumed = Trainer(stops_at=stop), Trainer()
        with pytest.raises(KeyboardInterrupt):
            run(folder, stopped)
        result = run(folder, resumed)
        assert stopped.packs[:-1] + resumed.packs == packs
        assert without_timings(result.findings) == without_timings(whole.findings)


def test_decided_claims_get_no_more_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "judge", judge_as(capacity_noise="supported"))
    notes = Notes()
    result = run(tmp_path, Trainer(), progress=notes)
    assert {f.claim: (f.n, f.look) for f in result.findings} == {
        "capacity-noise": (3, 1),
        "capacity-data": (12, 3),
    }
    assert notes.lines == [
        "1 claim open: 6 seeds for capacity-data",
        "1 claim open: 12 seeds for capacity-data",
    ]
    of_noise = {
        trial.key
        for trial in plan(studies_of(["capacity-noise"]), tiny_setting(tiny_dataset(), seeds=6))
    }
    assert len(of_noise & {trial.key for trial in result.trials}) < len(of_noise)


def test_claims_that_no_number_of_seeds_decides_get_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "judge", judge_as(capacity_noise="x", capacity_data="x"))
    assert [finding.n for finding in run(tmp_path, Trainer()).findings] == [3, 3]


def test_run_again_it_trains_nothing_and_its_page_can_be_drawn_again(tmp_path: Path) -> None:
    first = run(tmp_path, Trainer(), ["capacity-noise"])
    trainer = Trainer()
    again = run(tmp_path, trainer, ["capacity-noise"])
    assert trainer.packs == []
    assert again.findings == first.findings
    with Store.open(tmp_path, create=False) as store:
        _, findings = redraw(tmp_path, store)
        assert load_session(store).looks == {"capacity-noise": first.findings[0].look}
    assert findings == first.findings
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "of the 5% error rate" in page


def test_another_study_in_the_folder_keeps_seeds_and_looks(tmp_path: Path) -> None:
    [first] = run(tmp_path, Trainer(), ["capacity-noise"]).findings
    both = run(tmp_path, Trainer(), ["capacity-data"], most_seeds=None)
    kept, other = both.folder_findings
    assert (kept.n, kept.look, kept.p) == (first.n, first.look, first.p)
    assert (other.n, other.look) == (3, None)
    assert both.facts.looks == {"capacity-noise": first.look}


def test_the_command_names_only_the_claims_that_it_gives_again(tmp_path: Path) -> None:
    def command(claims: Sequence[str], seeds: int) -> Sequence[str]:
        return ("byheart", "study", *claims)

    fixed = run(tmp_path, Trainer(), ["capacity-noise"], most_seeds=None, command=command)
    assert fixed.facts.command == ("byheart", "study", "capacity-noise")
    looked = run(tmp_path, Trainer(), ["capacity-data"], command=command)
    assert looked.facts.command == ("byheart", "study", "capacity-data")
    again = run(tmp_path, Trainer(), ["capacity-noise"], command=command)
    assert again.facts.command == ("byheart", "study", *CLAIMS)
