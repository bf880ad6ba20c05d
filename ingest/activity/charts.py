"""Charts of a period: the data that the script draws, and the same figures as tables for screen readers."""

from typing import Any

from ingest.activity import wording
from ingest.activity.models import Metric, Rollup
from ingest.activity.selectors import Figures, Period

# By chart: title, unit, and the series with title, metric and colour (a name from the stylesheet).
CHARTS: dict[str, tuple[str, str, list[tuple[str, Metric, str]]]] = {
    "records": (
        "Records", "records",
        [("accepted", Metric.RECORDS_ACCEPTED, "good"), ("rejected", Metric.RECORDS_REJECTED, "bad")],
    ),
    "batches": (
        "Batches", "batches",
        [("accepted", Metric.BATCHES, "plain"), ("landed", Metric.BATCHES_LANDED, "good")],
    ),
    "downloads": ("Downloaded bytes", "bytes", [("bytes", Metric.FILE_BYTES, "good")]),
    "attempts": (
        "Downloads", "downloads",
        [("files complete", Metric.FILES, "good"), ("failed attempts", Metric.DOWNLOAD_FAILURES, "bad")],
    ),
}  # fmt: skip


def of(figures: Figures, period: Period, tables: list[dict[str, Any]]) -> dict[str, Any]:
    """By chart: labels in UTC, series, and the summary of its table."""
    summaries = {table["name"]: table["summary"] for table in tables}
    labels = _labels(figures, period)
    return {
        name: {
            "unit": unit,
            "summary": summaries[name],
            "labels": labels,
            "series": [
                {"label": label, "color": color, "values": figures.series[metric]} for label, metric, color in series
            ],
        }
        for name, (_, unit, series) in CHARTS.items()
    }


def tables(figures: Figures, period: Period) -> list[dict[str, Any]]:
    """For each chart: a title, a summary in one sentence, and the rows that are not all zero, newest first."""
    labels = _labels(figures, period)
    per = "minute" if period.resolution == Rollup.Resolution.MINUTE else "hour"
    found = []
    for name, (title, unit, series) in CHARTS.items():
        show = wording.size if unit == "bytes" else wording.number
        values = [figures.series[metric] for _, metric, _ in series]
        sums = ", ".join(f"{show(sum(column))} {label}" for (label, _, _), column in zip(series, values, strict=True))
        rows = [
            {"at": at, "cells": [show(value) for value in row]}
            for at, row in zip(labels, zip(*values, strict=True), strict=True)
            if any(row)
        ]
        found.append(
            {
                "name": name,
                "title": f"{title} per {per}",
                "summary": f"{title} in {period.past}: {sums}.",
                "columns": [label for label, _, _ in series],
                "rows": rows[::-1],
            }
        )
    return found


def _labels(figures: Figures, period: Period) -> list[str]:
    pattern = "%a %d, %H:%M" if period.key == "7d" else "%H:%M"
    return [at.strftime(pattern) for at in figures.starts]
