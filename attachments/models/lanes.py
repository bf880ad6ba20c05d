"""The queue of waiting files: hosts, lanes and turns."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from attachments.sql import lanes as sql


class VendorHost(models.Model):
    """A host that files are downloaded from. An operator can pause it for all workspaces."""

    host = models.TextField(primary_key=True, help_text="Host and port.")
    paused_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["host"]
        verbose_name = "vendor host"

    def __str__(self) -> str:
        return self.host


class Lane(models.Model):
    """The waiting files of one workspace and host: their place in the queue, and a circuit breaker.

    ``failures`` in a row open the breaker; any response that is not the host's fault ends the row. While it is open,
    downloads start one at a time with a pause between them. Other workspaces are not affected. ``host`` is empty for
    files that clients uploaded; that lane has no breaker. `attachments.sql.lanes` explains how turns are given.

    Lanes of each reputation share the workspace's slots evenly, so that files of a host that answers do not wait behind
    those of many hosts that are silent.
    """

    class Reputation(models.IntegerChoices):
        NEW = sql.NEW, "no download has ended yet"
        ANSWERS = sql.ANSWERS, "the last download was answered"
        FAILS = sql.FAILS, "the last download failed by the host's fault, or was slow and gave its slot to others"

    workspace = models.ForeignKey("ingest.Workspace", models.CASCADE, related_name="+", db_index=False)
    host = models.TextField(blank=True, help_text="Host and port.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts in a row.")
    reputation = models.PositiveSmallIntegerField(choices=Reputation, default=Reputation.NEW, db_default=sql.NEW)
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When the breaker opened; empty: it is closed.")
    held_until = models.DateTimeField(null=True, blank=True, help_text="No download starts before this.")
    last_error = models.TextField(default="", blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When the first of the waiting files is due.")
    turn_at = models.DateTimeField(
        null=True, blank=True, help_text="When it may be served, and its place in the queue."
    )

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "host"], name="lane_once")]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "turn_at"], name="lane_turn", condition=Q(turn_at__isnull=False)),
            models.Index(
                fields=["workspace", "reputation", "turn_at"],
                name="lane_turn_by_reputation",
                condition=Q(turn_at__isnull=False),
            ),
            models.Index(fields=["host"], name="lane_by_host"),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} {self.host}"


class WorkspaceTurn(models.Model):
    """A workspace's place in the queue: the earliest turn of its lanes."""

    workspace = models.OneToOneField("ingest.Workspace", models.CASCADE, primary_key=True, related_name="+")
    turn_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["turn_at"], name="workspace_turn", condition=Q(turn_at__isnull=False))
        ]


class LaneNotice(models.Model):
    """Says that a lane changed or was served. The next claim reads and deletes it."""

    workspace = models.ForeignKey(
        "ingest.Workspace", models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    host = models.TextField()
    is_served = models.BooleanField()


class AllowedEndpoint(models.Model):
    """An address and port that downloads may reach until a given time although it is not public."""

    address = models.GenericIPAddressField()
    port = models.PositiveIntegerField()
    until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["address", "port"], name="allowed_endpoint_once")]

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"
