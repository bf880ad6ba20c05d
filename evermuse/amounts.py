"""Numbers and sizes as text for people, in Python and, with ``{% load amounts %}``, in templates."""

from django.template import Library

register = Library()


def number(value: float) -> str:
    """``12,345``. A fraction below 100 has one digit."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


@register.filter
def size(count: float) -> str:
    """Bytes in decimal units, as on the axes of the charts."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} TB"
