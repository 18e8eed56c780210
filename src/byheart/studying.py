"""``byheart.study``: decide the papers' claims from Python."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from byheart.errors import InputError
from byheart.files import require_folder, write_text
from byheart.report.study import write_report
from byheart.runners.base import Progress, Runner
from byheart.runners.hangs import PATIENCE
from byheart.runners.make import find_device, make_runner
from byheart.runners.progress import make_progress
from byheart.store import Store
from byheart.studies import registry
from byheart.studies.base import Study
from byheart.studies.folder import load_session
from byheart.studies.judging import Finding
from byheart.studies.request import make_request
from byheart.studies.session import SessionResult, run_session

if TYPE_CHECKING:
    import pandas as pd

    from byheart.data.dataset import Dataset
    from byheart.networks.foreign import Source


class Findings(Sequence[Finding]):
    """The findings of a study, in the order of the claims table.

    Attributes:
        folder: output folder: ``results.sqlite``, ``findings.json``, ``report.html``, figures.
        page: path of ``report.html``; it shows all findings of the folder.
        failed: number of trials that could not be trained.
    """

    def __init__(self, result: SessionResult, folder: Path, page: Path) -> None:
        self._findings = tuple(result.findings)
        self._html = page.read_text(encoding="utf-8")
        self.folder = folder
        self.page = page
        self.failed = len(result.failed)

    def __len__(self) -> int:
        return len(self._findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...

    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self._findings[index]

    def __repr__(self) -> str:
        rows = self.table[["verdict", "estimate", "low", "high", "n"]].rename_axis(None)
        return f"Findings in {self.folder}\n{rows.to_string(float_format='{:.3g}'.format)}"

    @property
    def table(self) -> pd.DataFrame:
        """One row per finding, indexed by claim.

        Columns: ``verdict``, ``estimate``, ``low`` and ``high`` (95% interval), ``n``, ``p``,
        ``p_holm``, ``reasons`` (what is in the way of a verdict), ``seeds_needed``, ``statistic``,
        ``rule``, ``statement``, ``source``, ``note``, ``seconds``.
        """
        import pandas as pd

        rows = []
        for finding in self:
            low, high = finding.ci or (None, None)
            rows.append(
                {
                    "claim": finding.claim,
                    "verdict": finding.verdict,
                    "estimate": finding.estimate,
                    "low": low,
                    "high": high,
                    "n": finding.n,
                    "p": finding.p,
                    "p_holm": finding.p_holm,
                    "reasons": "; ".join(finding.reasons),
                    "seeds_needed": finding.seeds_needed,
                    "statistic": finding.statistic,
                    "rule": finding.rule,
                    "statement": finding.statement,
                    "source": finding.source,
                    "note": finding.note,
                    "seconds": finding.seconds,
                }
            )
        numbers = dict.fromkeys(("estimate", "low", "high", "seeds_needed"), float)
        return pd.DataFrame(rows).astype(numbers).set_index("claim")

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of the study: one file, which needs no network.

        Args:
            path: path of the file; folders that do not exist are made.

        Returns:
            The path.

        Raises:
            StoreError: the file cannot be written.
        """
        return write_text(Path(path), self._html)

    def _repr_html_(self) -> str:
        """Return a table of verdicts for a notebook."""
        columns = ["verdict", "estimate", "low", "high", "n", "p_holm", "statement"]
        table: str = self.table[columns].to_html(float_format="{:.3g}".format)
        return f"{table}<p>Full page: {html.escape(str(self.page))}</p>"


def study(
    claims: str | Study | Iterable[str | Study] | None = None,
    *,
    preset: str = "quick",
    data: str | Dataset | None = None,
    model: Source | None = None,
    network: str | None = None,
    learning_rate: float | None = None,
    seeds: int | None = None,
    until_decided: bool = False,
    most_seeds: int | None = None,
    out: str | os.PathLike[str] | None = None,
    runner: str | Runner = "processes",
    workers: int | None = None,
    address: str | None = None,
    hang_after: float = PATIENCE,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Findings:
    """Decide the papers' claims: train what is missing, judge, and write the page.

    ``byheart study`` on the command line does the same. Trials that are stored in ``out`` are not
    trained again, so an interrupted study goes on where it stopped. Findings of other claims in
    ``out`` stay, if preset, data and network are the same.

    Example:
        >>> findings = byheart.study("csr-noise", seeds=6, out="out/csr")  # doctest: +SKIP
        >>> findings.table[["verdict", "estimate", "low", "high"]]  # doctest: +SKIP
        >>> findings.to_html("csr.html")  # doctest: +SKIP

    Args:
        claims: ids of claims (see ``byheart claims``) and studies of your own, or one of them; all
            claims of the papers if None.
        preset: "quick", "desk" or "paper".
        data: a data source, as in :func:`byheart.load_dataset`, or a clean data set; the preset's
            own if None.
        model: a network in place of the preset's: "package.module:callable", or a function of an
            importable module that returns a fresh network.
        network: "mlp" or "cnn", byheart's networks; a CNN for colour images and an MLP for other
            data if None.
        learning_rate: learning rate of your network; the preset's if None.
        seeds: independent repetitions; the preset's number if None.
        until_decided: double the number of seeds for claims that are open, again and again. The
            verdicts keep their error rate.
        most_seeds: the most seeds then; four times the first number if None.
        out: output folder; ``out/<preset>`` if None.
        runner: "inline", "processes", "ray", or a runner.
        workers: packs trained at a time; one per core if None.
        address: of a Ray cluster.
        hang_after: minutes without progress after which a pack is ended and tried again; 0 waits
            forever.
        device: "cpu", "cuda" or "mps".
        progress: is told how the study goes; lines or bars on stderr if None.

    Returns:
        One finding per claim.

    Raises:
        InputError: a name that is not known, too little data, or a network that cannot be trained.
        StoreError: the folder cannot be written, or holds a damaged record.
    """
    if isinstance(runner, str):
        runner = make_runner(runner, workers, address, hang_after)
    device = find_device(device, runner)
    progress = progress or make_progress()
    for line in registry.problems():
        progress.note(line)
    request = make_request(
        _named(claims),
        preset=preset,
        source=data,
        seeds=seeds,
        model=None if model is None else _importable(model),
        network=network,
        learning_rate=learning_rate,
        until_decided=until_decided,
        most_seeds=most_seeds,
    )
    folder = Path(out) if out is not None else Path("out", preset)
    require_folder(folder, "study")
    for line in request.own_network.lines() if request.own_network else ():
        progress.note(line)
    with Store.open(folder) as store:
        result = run_session(
            request.studies,
            request.claims,
            request.setting,
            request.dataset,
            store,
            runner,
            most_seeds=request.most_seeds,
            device=device,
            progress=progress,
            command=lambda claims, seeds: request.command(
                "--out", str(folder), claims=claims, seeds=seeds
            ),
            own_network=request.own_network,
        )
        page = write_report(
            folder, load_session(store), result.folder_records, result.folder_findings
        )
    return Findings(result, folder, page)


def _named(claims: str | Study | Iterable[str | Study] | None) -> list[str]:
    """Return the ids of claims, and of those of studies, which become known."""
    chosen = [claims] if isinstance(claims, str | Study) else claims or ()
    return [id for one in chosen for id in ([one] if isinstance(one, str) else registry.add(one))]


def _importable(model: Source) -> str:
    """Return "module:callable" of a network: workers import it by that name."""
    if isinstance(model, str):
        return model
    module, name = getattr(model, "__module__", ""), getattr(model, "__qualname__", "")
    if not module or module == "__main__" or "<" in name or not callable(model):
        raise InputError(
            "model must be a function of an importable module, since workers import it: put it in "
            'a file and pass "module:callable"'
        )
    return f"{module}:{name}"
