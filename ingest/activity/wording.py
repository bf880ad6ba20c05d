"""Figures as text for people."""


def number(value: float) -> str:
    """``12,345``. A fraction below 100 has one digit."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def size(count: float) -> str:
    """Bytes in decimal units, as on the axes of the charts."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} TB"


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
