"""The three sizes of a study: quick on digits, desk on MNIST, paper with the papers' numbers."""

from __future__ import annotations

from byheart.errors import choose
from byheart.studies.presets.desk import DESK
from byheart.studies.presets.paper import PAPER
from byheart.studies.presets.quick import QUICK
from byheart.studies.presets.settings import Preset, log_spaced

__all__ = ["DESK", "PAPER", "PRESETS", "QUICK", "Preset", "find_preset", "log_spaced"]

PRESETS = {preset.name: preset for preset in (QUICK, DESK, PAPER)}


def find_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        InputError: no such preset.
    """
    return PRESETS[choose("preset", name, PRESETS)]
