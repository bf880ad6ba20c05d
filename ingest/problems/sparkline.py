"""The trend of a day as a small SVG with a bar for each hour, and as text for screen readers."""

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

BAR, GAP, HEIGHT = 4, 1, 24


def draw(counts: Sequence[int], *, is_measured: bool = False) -> SafeString:
    """Bars scaled to the highest hour. An hour that is not 0 is at least one pixel high."""
    top = max(counts, default=0)
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"></rect>',
        (
            (place * (BAR + GAP), HEIGHT - height, BAR, height)
            for place, count in enumerate(counts)
            if (height := max(1, round(HEIGHT * count / top)) if count else 0)
        ),
    )
    width = len(counts) * (BAR + GAP) - GAP
    return format_html(
        '<svg class="problem-trend" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">'
        '<title>{}</title><path d="M0 {}.5H{}"></path>{}</svg>',
        in_words(counts, is_measured=is_measured),
        width, HEIGHT + 1, width, HEIGHT + 1,
        in_words(counts, is_measured=is_measured),
        HEIGHT, width,
        bars,
    )  # fmt: skip


def in_words(counts: Sequence[int], *, is_measured: bool = False) -> str:
    """``120 in the last 24 hours, 8 in this hour, 40 at most in an hour``."""
    if is_measured:
        return f"At most {max(counts, default=0):,} at a time in the last 24 hours, {counts[-1]:,} in this hour"
    return f"{sum(counts):,} in the last 24 hours, {counts[-1]:,} in this hour, {max(counts, default=0):,} at most in an hour"
