"""The papers' studies, an explicit list in the order of the page, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points

from byheart.errors import InputError, choose
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


GROUP = "byheart.claims"
"""Entry points of installed packages, each a study or a class that makes one without arguments."""
_added: list[Study] = []


def add(study: Study) -> tuple[str, ...]:
    """Make a study known until the process ends; it replaces an added one with the same claims.

    Returns:
        The ids of its claims.

    Raises:
        InputError: it is no study, or the id of a claim is taken.
    """
    ids, installed = _ids(study), _installed()[0]
    if not any(type(known) is type(study) and _ids(known) == ids for known in installed):
        rest = [earlier for earlier in _added if not ids & _ids(earlier)]
        _require_new_ids(ids, (*STUDIES, *installed, *rest))
        _added[:] = [*rest, study]
    return tuple(claim.id for claim in study.claims)


def problems() -> tuple[str, ...]:
    """Return a line for each installed study that cannot be used, with the name of its package."""
    return _installed()[1]


@cache
def _installed() -> tuple[tuple[Study, ...], tuple[str, ...]]:
    """Return the studies of installed packages, and a line for each that cannot be used."""
    studies: list[Study] = []
    lines: list[str] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
            study = loaded() if isinstance(loaded, type) else loaded
            _require_new_ids(_ids(study), (*STUDIES, *studies))
            studies.append(study)
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            reason = f"{type(error).__name__}: {error}"
            lines.append(f"the claims of package '{package}' are left out: {reason}")
    return tuple(studies), tuple(lines)


def _ids(study: object) -> set[str]:
    if not isinstance(study, Study):
        raise InputError(
            f"{study!r} is no study: it needs name, title, source, claims, plan, judge and figures"
        )
    return {claim.id for claim in study.claims}


def _require_new_ids(ids: set[str], known: Iterable[Study]) -> None:
    taken = sorted(ids & {claim.id for study in known for claim in study.claims})
    if taken:
        raise InputError(f"another study has a claim '{taken[0]}': choose another id")


def _all() -> tuple[Study, ...]:
    return (*STUDIES, *_installed()[0], *_added)


def claims() -> tuple[Claim, ...]:
    """Return every claim in the order of the page: the papers', then those of other packages."""
    return tuple(claim for study in _all() for claim in study.claims)


def chosen_claims(names: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the named claims in the order of the page; the papers' if none is named.

    Raises:
        InputError: a name is no claim.
    """
    known = [claim.id for claim in claims()]
    wanted = {choose("claim", name, known) for name in names}
    wanted = wanted or {claim.id for study in STUDIES for claim in study.claims}
    return tuple(claim for claim in known if claim in wanted)


def studies_of(chosen: Iterable[str]) -> tuple[Study, ...]:
    """Return the studies that decide the claims."""
    wanted = set(chosen)
    return tuple(s for s in _all() if any(claim.id in wanted for claim in s.claims))
