"""What an example's curve says of it: mislabelled, rare but right, ambiguous, or typical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.history import History
from byheart.auditing.scores import Scores, confidence, mean_over_epochs, over_seeds

VERDICTS = ("mislabelled", "rare", "ambiguous", "typical")

CLEARLY = 3.0
"""Another label is clearly better if it is believed so many times as much."""
BELIEVED = 1 / 3
"""And if it is believed that much; isolated examples need half."""
EITHER = 0.5
"""Two labels compete if they take half of the probability."""


@dataclass(frozen=True, eq=False)
class Support:
    """How far the networks believed in two labels of each example before memorization.

    Attributes:
        label: [N] mean probability of the label.
        suggested: [N] mean probability of the suggested label, as far as it was the likeliest
            besides the label.
        classes: int64 [N] the suggested label.
    """

    label: Scores
    suggested: Scores
    classes: NDArray[np.int64]


def support(histories: Sequence[History], suggested: NDArray[np.int64], *, stop: int) -> Support:
    r"""Return how far two labels of each example were believed.

    Formula: mean over seeds and epochs up to ``stop`` of p_e and of r_e = exp(-margin - loss), the
    probability of the likeliest class besides the label; the latter times the share that the
    suggested class has in the tally of those classes (see
    :func:`byheart.auditing.table.suggested`).
    """
    on_class, on_all = np.zeros(len(suggested)), np.zeros(len(suggested))
    for one in histories:
        held = one.rivals.classes == suggested[:, None]
        on_class += np.where(held, one.rivals.weights, 0).sum(1)
        on_all += np.where(one.rivals.classes >= 0, one.rivals.weights, 0).sum(1)
    share = np.divide(on_class, on_all, out=np.zeros(len(suggested)), where=on_all > 0)
    rival = over_seeds(
        histories,
        lambda one: mean_over_epochs(one, lambda e: np.exp(-e.margin - e.loss), 0, stop),
    )
    return Support(confidence(histories, stop=stop), rival * share, suggested)


def verdicts(
    suspicion: Scores,
    flagged: NDArray[np.bool_],
    isolated: NDArray[np.bool_],
    found: Support,
) -> NDArray[np.object_]:
    """Return a verdict for each example.

    An example is *typical* if it is not flagged and the networks believed its label, by its margin.
    Of the others, it is *mislabelled* if another label is believed three times as much and to a
    third at least (to half, if it is isolated: what a network says of inputs unlike all others is
    worth less); *ambiguous* if its label and the other together take half of the probability; and
    *rare* if neither does, or if it is isolated: a network that has not learned it by heart yet
    does not know what it is.

    Args:
        suspicion: [N] NaN where an example was never seen.
        flagged: [N] on the list of the most suspect.
        isolated: [N] far from all other examples.
        found: how far each label was believed.

    Returns:
        [N] of :data:`VERDICTS`; empty where an example was never seen.

    Source: the regions of a data map, Swayamdipta et al. (2020), section 3; rare and mislabelled
    examples as two kinds of memorized ones, Feldman & Zhang (2020), section 3.
    """
    doubtful = flagged | (suspicion > 0)
    enough = np.where(isolated, EITHER, BELIEVED)
    clear = (found.suggested >= enough) & (found.suggested >= CLEARLY * found.label)
    either = ~isolated & (found.label + found.suggested >= EITHER)
    kinds = np.select(
        [np.isnan(suspicion), ~doubtful, clear, either],
        ["", "typical", "mislabelled", "ambiguous"],
        "rare",
    )
    return kinds.astype(object)


def evidence(
    verdict: NDArray[np.object_],
    labels: NDArray[np.int64],
    found: Support,
    isolated: NDArray[np.bool_],
    conflicts: NDArray[np.int64],
    classes: Sequence[str],
) -> NDArray[np.object_]:
    """Return in words what a verdict rests on, [N]; empty for typical examples."""
    words = np.full(len(labels), "", dtype=object)
    asked = (verdict != "typical") & (verdict != "")
    for i in np.flatnonzero(asked | (conflicts >= 0)):
        said = []
        if asked[i]:
            other = classes[found.classes[i]]
            said.append(
                f"before memorization '{other}' was believed to {found.suggested[i]:.0%}, "
                f"'{classes[labels[i]]}' to {found.label[i]:.0%}"
            )
        if isolated[i]:
            said.append("unlike all other examples")
        if conflicts[i] >= 0:
            twin = conflicts[i]
            said.append(f"nearly the same as {twin}, which is labelled '{classes[labels[twin]]}'")
        words[i] = "; ".join(said)
    return words
