"""Groups of files that failed alike (same host, code and workspace) or wait for the same host: counted and retried
together.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.models import VendorHost
from attachments.queue import hosts, lanes
from evermuse import named_rows, wake


@dataclass(frozen=True, slots=True)
class Group:
    """The files of a host (with port) and a workspace whose last error has this code."""

    host: str
    code: str
    workspace: int


def failed(group: Group) -> tuple[int, int]:
    """The number of FAILED files in a group, and the greatest id among them."""
    count, last = _row(sql.COUNT_FAILED_ALIKE, asdict(group))
    return int(count), int(last)


def retry_group(group: Group, *, after: int, until: int, limit: int) -> list[int]:
    """FAILED → PENDING for the next ``limit`` files with ``after`` < id ≤ ``until``. Returns their ids in order."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY_FAILED_ALIKE, {**asdict(group), "after": after, "until": until, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def hasten_group(group: Group) -> int:
    """Start the next attempts of waiting files now. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(sql.PULL_ALIKE_FORWARD, asdict(group))
        return int(cursor.rowcount)


def release_host(host: str, workspace: int) -> tuple[int, bool]:
    """End the pauses and open breakers of a host for a workspace, but not an operator's pause.

    Returns the number of files that are due there, and whether an operator has paused the host.
    """
    is_paused = VendorHost.objects.filter(host=host, paused_at__isnull=False).exists()
    if not is_paused:
        hosts.release(host, workspace)
    return int(_row(sql.COUNT_DUE_OF, {"host": host, "workspace": workspace})[0]), is_paused


@dataclass(frozen=True, slots=True)
class StandingFiles:
    """Files of one workspace and host that do not move. ``attachment_id`` and ``batch_id``: of one of them."""

    workspace_id: int
    host: str
    count: int
    since: datetime
    attachment_id: int
    batch_id: int
    reason: str


def standing(seconds: float) -> list[StandingFiles]:
    """Files that have not moved for longer than ``seconds``, by workspace and host."""
    lanes.refresh()
    return named_rows.fetch(StandingFiles, sql.STANDING, {"stuck": seconds})


def oldest_due_seconds() -> float:
    """How long the oldest waiting file has been due. 0 if none waits."""
    lanes.refresh()
    with connection.cursor() as cursor:
        cursor.execute(sql.OLDEST_DUE)
        return float(cursor.fetchone()[0] or 0.0)


def wake_for(files: int) -> None:
    """Wake as many download workers as could find one of these files."""
    wake.downloads(files, at_most=settings.EVERMUSE_ATTACHMENT_CONCURRENCY)


def _row(statement: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row: tuple[Any, ...] = cursor.fetchone()
        return row
