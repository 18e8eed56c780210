"""``byheart report``: draw the page of a study again from its stored records."""

from __future__ import annotations

from byheart.cli import options
from byheart.cli.console import results, tell, write_json
from byheart.cli.verdicts import print_verdicts


def report(folder: options.Folder, as_json: options.AsJson = False) -> None:
    """Judge the stored records again, and rewrite findings, page and figures."""
    from byheart.report.study import redraw
    from byheart.store import Store

    with Store.open(folder, create=False) as store:
        page, findings = redraw(folder, store)
    if as_json:
        write_json([finding.as_json() for finding in findings])
        return
    print_verdicts(findings, results())
    tell(page)
