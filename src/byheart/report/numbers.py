"""Numbers as a reader wants them: three significant digits and a proper minus sign."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from byheart.studies.judging import FindingPart

NOTHING = "\N{EN DASH}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals(part: FindingPart) -> int | None:
    """Return the decimals that show the interval's width with two significant digits.

    An estimate and the ends of its interval are then rounded alike. None where there is no
    interval, or where it is too narrow or too wide for decimals.
    """
    if part.ci is None or not 0 < part.ci[1] - part.ci[0] < math.inf:
        return None
    places = 1 - math.floor(math.log10(part.ci[1] - part.ci[0]))
    return max(0, places) if -3 <= places <= 5 else None


def number(value: float | None, places: int | None = None) -> str:
    """Return a number with so many decimals, else with three significant digits or its integer.

    Very small and very large numbers are written with a power of ten.
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if places is not None:
        return _minus(f"{round(value, places) + 0.0:,.{places}f}")
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    power = int(exponent)
    if power < -3 or power > 5:
        short = mantissa.rstrip("0").rstrip(".")
        return _minus(f"{short} \N{MULTIPLICATION SIGN} 10{str(power).translate(_SUPERSCRIPT)}")
    return _minus(f"{value:,.{max(0, 2 - power)}f}")


def exact(value: float) -> str:
    """Return a declared number (a null value, a bound) without trailing zeros."""
    return _minus(f"{value:.4g}")


def interval(ends: tuple[float, float] | None, places: int | None = None) -> str:
    """Return an interval in brackets, or a dash; ``places`` as for :func:`number`."""
    return NOTHING if ends is None else f"[{number(ends[0], places)}, {number(ends[1], places)}]"


def p_value(p: float) -> str:
    """Return a p value with two significant digits."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.2g}" if p < 0.995 else "1"


def chance(p: float) -> str:
    """Return a probability in percent, never as certain."""
    if p > 0.99:
        return "> 99%"
    return f"{p:.0%}" if p >= 0.01 else "< 1%"


def count(value: int) -> str:
    """Return a count with thousands set apart."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Return a count with its noun in the right number ("1 seed", "8 seeds")."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def points(share: float) -> str:
    """Return a share as percentage points ("1 point", "2.5 points")."""
    return f"{100 * share:g} point{'' if math.isclose(share, 0.01) else 's'}"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for unit, size, lesser, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {lesser}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def plain(value: object) -> str:
    """Return a setting as text: lists with commas, numbers as they were declared."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    if isinstance(value, float):
        return exact(value)
    return _minus(str(value)) if isinstance(value, int) else str(value)


def moment(text: str) -> str:
    """Return an ISO date and time to the minute in UTC, and anything else as it is."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return text
    utc = parsed.astimezone(UTC) if parsed.tzinfo else parsed
    return f"{utc:%Y-%m-%d %H:%M}{' UTC' if parsed.tzinfo else ''}"


def signs(text: str) -> str:
    """Return a text with proper minus signs before its numbers."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital, proper minus signs, and a stop at the end."""
    whole = signs(text.strip())
    stop = "" if whole.endswith((".", "!", "?", ":")) else "."
    return f"{whole[:1].upper()}{whole[1:]}{stop}"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
