"""``byheart claims``: what is claimed, and what would decide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from byheart.cli import options
from byheart.cli.console import results, say, write_json

if TYPE_CHECKING:
    from byheart.statistics.verdict import Rule


def claims(as_json: options.AsJson = False) -> None:
    """List every claim with its figure, the figure's data and network, and the rule."""
    from byheart.studies import registry

    listed = registry.claims()
    for line in registry.problems():
        say(line)
    if as_json:
        write_json(
            [
                {
                    "claim": claim.id,
                    "source": claim.source,
                    "drawn_on": claim.drawn_on,
                    "statement": claim.statement,
                    "rule": claim.rule.describe(),
                }
                for claim in listed
            ]
        )
        return
    console = results()
    for claim in listed:
        where = f"{claim.source}: {claim.drawn_on}" if claim.drawn_on else claim.source
        console.print(Text.assemble((claim.id, "bold"), "  ", (where, "dim")))
        console.print(Padding(Text(claim.statement), (0, 0, 0, 2), expand=False))
        console.print(Padding(_rule(claim.rule), (0, 0, 1, 2), expand=False))


def _rule(rule: Rule) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", justify="right", no_wrap=True)
    for i, criterion in enumerate(rule.criteria):
        joint = "and" if rule.combine == "all" else "or"
        table.add_row(joint if i else "supported if", Text(criterion.describe()))
    return table
