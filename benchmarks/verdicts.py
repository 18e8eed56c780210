"""The table of verdicts: `python -m benchmarks.verdicts` writes it into docs/results/index.md.

Each data set has a folder there with the findings and figures of its study. `--take NAME DIR`
copies those of a new run first, for example `--take mnist out/desk`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import table

FOLDER = Path(__file__).parents[1] / "docs" / "results"
PAGE = FOLDER / "index.md"
DATA = {"digits": "8x8 digits", "mnist": "MNIST", "cifar10": "CIFAR-10 (JPEG copy)"}
"""Folder of each data set, and its name on the page."""
LEADS = ("mnist", "cifar10", "digits")
"""Whose deciding statistic the other data sets show too: the first that has the claim."""
SIGNS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}
NOTE = (
    "Each row shows one criterion of its claim, with the estimate and the 95% interval. A verdict\n"
    "counts all criteria, so another one can decide it."
)
BEGIN, END = "<!-- verdicts -->", "<!-- end of verdicts -->"

Finding = Mapping[str, Any]


def verdicts(studies: Mapping[str, Sequence[Finding]]) -> str:
    """Return the table, claims by data sets, and a line that counts the verdicts.

    A claim may have several criteria. All cells of a row show the same one, so that they compare:
    the criterion that decides on the first data set in `LEADS`.
    """
    by_claim = {name: {row["claim"]: row for row in study} for name, study in studies.items()}
    order = [name for name in LEADS if name in studies]
    claims = dict.fromkeys(claim for name in order for claim in by_claim[name])
    head = ("claim", "statistic", *(DATA[name] for name in studies))
    rows = []
    for claim in claims:
        findings = {name: by_claim[name].get(claim) for name in studies}
        lead = next(finding for name in order if (finding := findings[name]) is not None)
        statistic = lead["statistic"]
        cells = (_cell(finding, statistic) for finding in findings.values())
        rows.append((f"`{claim}`", statistic, *cells))
    return "\n\n".join((table(head, rows), NOTE, "\n".join(_counts(studies))))


def written(page: str, text: str) -> str:
    """Return the page with the text between its markers replaced."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page needs {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def stored() -> dict[str, list[dict[str, Any]]]:
    """Return the findings of each data set that has a folder."""
    files = {name: FOLDER / name / "findings.json" for name in DATA}
    return {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.exists()
    }


def _cell(finding: Finding | None, statistic: str) -> str:
    """Return the sign of a claim's verdict with the estimate and interval of one criterion."""
    if finding is None:
        return "not asked"
    part = next((part for part in finding["parts"] if part["statistic"] == statistic), None)
    sign = SIGNS[finding["verdict"]]
    if part is None or part["estimate"] is None or part["ci"] is None:
        return f"{sign} no estimate"
    low, high = part["ci"]
    return _minus(f"{sign} {part['estimate']:.3g} [{low:.3g}, {high:.3g}]")


def _counts(studies: Mapping[str, Sequence[Finding]]) -> Iterator[str]:
    for name, study in studies.items():
        seen = [finding["verdict"] for finding in study]
        counts = ", ".join(f"{seen.count(verdict)} {verdict}" for verdict in SIGNS)
        yield f"- {DATA[name]}: {counts} ([findings]({name}/findings.json))."


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _take(name: str, study: Path) -> None:
    """Replace the folder of a data set by the findings and figures of a study."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(study / "figures", folder)
    shutil.copyfile(study / "findings.json", folder / "findings.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", nargs=2, metavar=("NAME", "DIR"), help="copy a study's findings")
    options = parser.parse_args()
    if options.take is not None:
        if options.take[0] not in DATA:
            parser.error(f"no data set {options.take[0]}; choose from {', '.join(DATA)}")
        _take(options.take[0], Path(options.take[1]))
    text = written(PAGE.read_text(encoding="utf-8"), verdicts(stored()))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
