"""Files that failed alike (same host, code and workspace) or stand still behind a host: counted and set going again."""

from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from attachments import sql
from attachments.models import VendorHost
from attachments.queue import hosts, lanes
from evermuse import wake


@dataclass(frozen=True, slots=True)
class Group:
    """Which files: of a host (and port), in a workspace, whose last error has this code."""

    host: str
    code: str
    workspace: int


def failed(group: Group) -> tuple[int, int]:
    """How many FAILED files a group has, and the greatest id among them."""
    count, last = _row(sql.COUNT_FAILED_ALIKE, asdict(group))
    return int(count), int(last)


def retry_failed(group: Group, *, after: int, until: int, limit: int) -> list[int]:
    """FAILED → PENDING for the next ``limit`` files with ``after`` < id ≤ ``until``, attempts anew; their ids, in order."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RETRY_FAILED_ALIKE, {**asdict(group), "after": after, "until": until, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def pull_forward(group: Group) -> int:
    """Have files that wait for their next attempt begin now; how many."""
    with connection.cursor() as cursor:
        cursor.execute(sql.PULL_ALIKE_FORWARD, asdict(group))
        return int(cursor.rowcount)


def release(host: str, workspace: int) -> tuple[int, bool]:
    """End what holds a host for a workspace, but for an operator's pause: the files that are due there, and whether it is paused."""
    is_paused = VendorHost.objects.filter(host=host, paused_at__isnull=False).exists()
    if not is_paused:
        hosts.release(host, workspace)
    return int(_row(sql.COUNT_DUE_OF, {"host": host, "workspace": workspace})[0]), is_paused


def standing(seconds: float) -> list[tuple[Any, ...]]:
    """What stands still for longer than ``seconds``: (workspace, host, count, since, an id, a batch, why)."""
    lanes.refresh()
    with connection.cursor() as cursor:
        cursor.execute(sql.STANDING, {"stuck": seconds})
        return list(cursor.fetchall())


def oldest_due_seconds() -> float:
    """For how long the file that waits longest could have begun; 0 when none waits."""
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
