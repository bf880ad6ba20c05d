"""Figures as text for people."""

from evermuse.amounts import number, size

__all__ = ["at_least", "duration", "number", "share", "size"]


def duration(seconds: float | None) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``; None: nothing waits."""
    if seconds is None:
        return "nothing waits"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def at_least(value: int, limit: int) -> str:
    """A number that was counted up to ``limit``: ``1,000+``."""
    return f"{limit:,}+" if value >= limit else f"{value:,}"


def share(part: float, whole: float) -> str:
    """``12.5 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
