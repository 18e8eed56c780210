"""What the columns of the table mean, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Column:
    """A score.

    Attributes:
        name: in the table.
        title: on the page.
        how: it is computed.
        source: of the idea.
    """

    name: str
    title: str
    how: str
    source: str = ""


_SWAYAMDIPTA = "Swayamdipta et al. 2020"
_FELDMAN = "Feldman and Zhang 2020"

SCORES = (
    Column(
        "suspicion",
        "suspicion",
        "minus the margin of the label's logit over the largest other, averaged up to twice the "
        "onset and over trainings; above 0 another class was ahead",
        "area under the margin, Pleiss et al. 2020, over a window",
    ),
    Column(
        "p_wrong",
        "P(wrong)",
        "probability that the label is wrong, from where planted flips rank: labels that were "
        "changed on purpose, in ways in which these data seem to be wrong",
    ),
    Column(
        "suggested",
        "suggested label",
        "the class that the networks believed in most besides the label",
    ),
    Column(
        "suggested_probability",
        "P(suggested)",
        "mean probability of the suggested label, over epochs and trainings",
    ),
    Column(
        "p_correct",
        "P(correct)",
        "share of epochs and trainings in which the network gave the label",
        "Arpit et al. 2017, section 3.1",
    ),
    Column(
        "cumulative_loss",
        "cumulative loss",
        "area under the example's loss curve",
        "Huang et al. 2019",
    ),
    Column(
        "aum",
        "area under the margin",
        "mean margin of the label's logit over the largest other",
        "Pleiss et al. 2020",
    ),
    Column("confidence", "confidence", "mean probability of the label over epochs", _SWAYAMDIPTA),
    Column(
        "variability",
        "variability",
        "standard deviation over epochs of the probability of the label",
        _SWAYAMDIPTA,
    ),
    Column(
        "first_learned",
        "first learned",
        "the epoch after which the network first gave the label",
        "Toneva et al. 2019",
    ),
    Column(
        "never_learned",
        "never learned",
        "share of trainings in which it never did",
        "Toneva et al. 2019",
    ),
    Column(
        "forgetting_events",
        "forgetting events",
        "how often the network had the label right and then wrong",
        "Toneva et al. 2019",
    ),
    Column(
        "sensitivity",
        "loss-sensitivity",
        "norm of the gradient of the loss with respect to the input, averaged up to the onset",
        "Arpit et al. 2017, section 3.2",
    ),
    Column(
        "critical",
        "critical",
        "whether an input close by is put into another class",
        "Arpit et al. 2017, section 4",
    ),
    Column(
        "memorization",
        "memorization",
        "by how much more often networks trained with the example give its label than those "
        "trained without it",
        _FELDMAN,
    ),
    Column("memorization_error", "its standard error", "", _FELDMAN),
    Column(
        "influenced_by",
        "influenced by",
        "the training example without which this one would be right least often",
        _FELDMAN,
    ),
    Column("influence", "influence", "by how much", _FELDMAN),
    Column("influence_error", "its standard error", "", _FELDMAN),
    Column("epochs_seen", "epochs seen", "over all trainings"),
)

_ON_THE_CARD = frozenset(
    {"label", "suspicion", "p_wrong", "flagged", "suggested", "verdict", "evidence"}
    | {"conflicts_with", "file", "row"}
)
"""Columns that a card shows in a place of their own."""
_NAMED = {column.name: column for column in SCORES}


def explained(table: pd.DataFrame) -> Iterator[Column]:
    """Yield the columns of a table of which the page says how they are computed."""
    return (one for one in SCORES if one.name in table and one.how)


def further(table: pd.DataFrame) -> list[Column]:
    """Return the columns that a card lists among all scores, those without an explanation last."""
    names = [name for name in map(str, table.columns) if name not in _ON_THE_CARD]
    known = [one for one in SCORES if one.name in names]
    spare = [name for name in names if name not in _NAMED]
    return known + [Column(name, name.replace("_", " "), "") for name in spare]


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a label; nothing for -1."""
    return classes[label] if 0 <= label < len(classes) else ""


def with_names(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a table with the names of classes beside their numbers."""
    result = table.copy()
    for column in ("label", "suggested"):
        names = [class_name(classes, label) for label in table[column].tolist()]
        result.insert(list(result.columns).index(column) + 1, f"{column}_name", names)
    return result
