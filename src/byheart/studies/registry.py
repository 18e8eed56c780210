"""The explicit list of studies; its order is the order of the page."""

from __future__ import annotations

from collections.abc import Iterable

from byheart.errors import choose
from byheart.studies.base import Claim, Study
from byheart.studies.capacity import Capacity, CapacityData
from byheart.studies.dynamics import Figure7And8
from byheart.studies.figure1 import Figure1
from byheart.studies.figure2 import Figure2
from byheart.studies.figure3_4 import Figure3And4, Figure3Unique
from byheart.studies.figure5 import Figure5
from byheart.studies.figure6 import Figure6
from byheart.studies.figure9 import Figure9
from byheart.studies.figure10_11 import Figure10And11
from byheart.studies.sharpness import Sharpness

STUDIES: tuple[Study, ...] = (
    Figure1(),
    Figure2(),
    Figure3And4(),
    Figure3Unique(),
    Figure5(),
    Figure6(),
    Capacity(),
    CapacityData(),
    Figure7And8(),
    Figure9(),
    Figure10And11(),
    Sharpness(),
)


def claims() -> tuple[Claim, ...]:
    """Return every claim, in the order of the page."""
    return tuple(claim for study in STUDIES for claim in study.claims)


def chosen_claims(names: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the named claims in the order of the page; all if none is named.

    Raises:
        InputError: a name is no claim.
    """
    known = [claim.id for claim in claims()]
    wanted = {choose("claim", name, known) for name in names}
    return tuple(claim for claim in known if not wanted or claim in wanted)


def studies_of(chosen: Iterable[str]) -> tuple[Study, ...]:
    """Return the studies that decide the claims."""
    wanted = set(chosen)
    return tuple(s for s in STUDIES if any(claim.id in wanted for claim in s.claims))
