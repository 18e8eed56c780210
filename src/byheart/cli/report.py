"""``byheart report``: draw again from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byheart.cli.console import results, tell, write_json
from byheart.cli.options import AsJson
from byheart.cli.verdicts import print_verdicts


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder of a study.")],
    as_json: AsJson = False,
) -> None:
    """Judge the stored records again, and write findings, page and figures anew."""
    from byheart.report.study import redraw
    from byheart.store import Store

    with Store.open(folder, create=False) as store:
        page, findings = redraw(folder, store)
    if as_json:
        write_json([finding.as_json() for finding in findings])
        return
    print_verdicts(findings, results())
    tell(page)
