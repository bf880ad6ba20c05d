"""Metrics for Prometheus: the figures of the overview. They come from PostgreSQL, so every process reports the same.

States come from partial indexes and counters from the rollups (`ingest.activity`): a scrape never reads a whole table. The
number of label values is bounded: workspaces and codes are our own, and beyond a fixed number of vendor hosts the label is
``other``.
"""

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from attachments.models import Lane, VendorHost
from evermuse import connection_budget, replica, replica_reads
from ingest.activity import selectors, surroundings
from ingest.activity.health import OK
from ingest.activity.measures import Key
from ingest.activity.models import Metric
from ingest.activity.surroundings import Surroundings
from ingest.admission import room
from ingest.models import Workspace
from lake.journal import writing as journal
from lake.restore import marks

BY_WORKSPACE = {
    Metric.BATCHES: ("evermuse_batches_accepted", "Batches accepted."),
    Metric.BATCHES_LANDED: ("evermuse_batches_landed", "Batches landed: archived and indexed."),
    Metric.BATCHES_FAILED: ("evermuse_batches_failed", "Batches that ended FAILED."),
    Metric.RECORDS: ("evermuse_records_sent", "Records in accepted batches."),
    Metric.RECORDS_ACCEPTED: ("evermuse_records_accepted", "Records that passed validation."),
    Metric.RECORDS_REJECTED: ("evermuse_records_rejected", "Records that validation rejected."),
}


class StateCollector(Collector):
    """Reads all figures at each scrape."""

    def collect(self) -> Iterator[Family]:
        """One metric family for each figure."""
        asked = surroundings.Asked()
        totals = selectors.totals()
        yield from _standing(totals)
        yield from _connections()
        yield from _by_workspace(totals)
        yield from _by_label(totals)
        yield from _vendors()
        yield from _replica_reads()
        yield from _surroundings(asked.answers())


def _standing(totals: dict[Key, int]) -> Iterator[Family]:
    standing = selectors.standing(totals)
    batches = GaugeMetricFamily(
        "evermuse_batches",
        f"Batches by status; each but COMPLETE is counted up to {selectors.MAX_COUNTED}.",
        labels=["status"],
    )
    for status, count in standing.batches.items():
        batches.add_metric([status], count)
    yield batches
    files = GaugeMetricFamily(
        "evermuse_attachments",
        f"Attachments by state; each but COMPLETE is counted up to {selectors.MAX_COUNTED}.",
        labels=["state"],
    )
    for state, count in standing.files.items():
        files.add_metric([state], count)
    yield files
    yield GaugeMetricFamily(
        "evermuse_oldest_waiting_batch_age_seconds",
        "Age of the oldest batch that has not landed.",
        value=standing.oldest_batch_seconds or 0.0,
    )
    yield GaugeMetricFamily(
        "evermuse_oldest_waiting_attachment_age_seconds",
        "How long the attachment that waits longest has been due.",
        value=standing.oldest_file_seconds or 0.0,
    )
    counted = selectors.state()
    yield GaugeMetricFamily(
        "evermuse_rollup_age_seconds",
        "Time since the last rollup, which runs every 10 s.",
        value=(timezone.now() - counted.ran_at).total_seconds() if counted else 0.0,
    )
    yield GaugeMetricFamily(
        "evermuse_journal_behind_seconds",
        "Age of the oldest change that the journal in the object store does not have yet.",
        value=journal.behind_seconds(),
    )
    yield GaugeMetricFamily(
        "evermuse_payload_partition_ids_left",
        "Batches that can be stored before partitions of payloads are missing. The sweeper keeps it at 16 million.",
        value=room.ids_left(),
    )
    yield GaugeMetricFamily(
        "evermuse_restore_check_needed",
        "1 if the database was restored from an earlier time and manage.py restorecheck has not run since.",
        value=float(marks.is_check_needed()),
    )


def _connections() -> Iterator[Family]:
    budget = connection_budget.read()
    yield GaugeMetricFamily(
        "evermuse_database_connections", "Connections of all clients of PostgreSQL.", value=budget.used
    )
    yield GaugeMetricFamily(
        "evermuse_database_connections_allowed",
        "Connections that PostgreSQL allows, without those reserved for administrators.",
        value=budget.allowed,
    )


def _by_workspace(totals: dict[Key, int]) -> Iterator[Family]:
    names = dict(Workspace.objects.values_list("pk", "name"))
    for metric, (name, text) in BY_WORKSPACE.items():
        family = CounterMetricFamily(name, text, labels=["workspace"])
        for pk, workspace in names.items():
            family.add_metric([workspace], totals.get((pk, metric, ""), 0))
        yield family


def _by_label(totals: dict[Key, int]) -> Iterator[Family]:
    reasons = CounterMetricFamily(
        "evermuse_rejected_record_errors",
        "Rejected records by error code; a record counts once for each field.",
        labels=["code"],
    )
    for code, count in _summed(totals, Metric.REJECTED_REASON).items():
        reasons.add_metric([code], count)
    yield reasons
    files = CounterMetricFamily("evermuse_attachments_downloaded", "Files downloaded, by vendor host.", labels=["host"])
    for host, count in _summed(totals, Metric.FILES).items():
        files.add_metric([host], count)
    yield files
    sizes = CounterMetricFamily("evermuse_attachment_downloaded_bytes", "Bytes of those files.", labels=["host"])
    for host, count in _summed(totals, Metric.FILE_BYTES).items():
        sizes.add_metric([host], count)
    yield sizes
    failures = CounterMetricFamily(
        "evermuse_attachment_download_failures", "Attempts that failed, by vendor host.", labels=["host", "code"]
    )
    for label, count in _summed(totals, Metric.DOWNLOAD_FAILURES).items():
        host, _, code = label.rpartition(" ")
        failures.add_metric([host, code] if " " in label else [label, label], count)
    yield failures


def _summed(totals: dict[Key, int], metric: Metric) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, name, label), value in totals.items():
        if name == metric:
            found[label] = found.get(label, 0) + value
    return found


def _vendors() -> Iterator[Family]:
    hosts = GaugeMetricFamily(
        "evermuse_vendor_hosts_held", "Vendor hosts from which nothing is downloaded now.", labels=["reason"]
    )
    hosts.add_metric(["paused"], VendorHost.objects.exclude(paused_at=None).count())
    hosts.add_metric(["breaker_open"], Lane.objects.exclude(opened_at=None).values("host").distinct().count())
    yield hosts


def _replica_reads() -> Iterator[Family]:
    """Left out while Redis does not answer."""
    reads = CounterMetricFamily(
        "evermuse_replica_reads",
        "Reads that were meant for the standby, by the server that answered them.",
        labels=["server"],
    )
    totals = replica_reads.counts.totals() if replica.is_configured() else dict.fromkeys(replica_reads.SERVERS, 0)
    for server, count in (totals or {}).items():
        reads.add_metric([server], count)
    yield reads


def _surroundings(around: Surroundings) -> Iterator[Family]:
    up = GaugeMetricFamily("evermuse_server_up", "Whether a server answers: 1 or 0.", labels=["server"])
    for server, state in around.servers.items():
        up.add_metric([server], float(state == OK))
    yield up
    # Left out while the broker does not answer.
    queues = GaugeMetricFamily("evermuse_queue_length_messages", "Messages that wait in the broker.", labels=["queue"])
    for queue, length in (around.queues or {}).items():
        queues.add_metric([queue], length)
    yield queues
    workers = GaugeMetricFamily(
        "evermuse_workers", "Workers that answer, by the queue that they read.", labels=["kind"]
    )
    for kind, count in sorted((around.workers or {}).items()):
        workers.add_metric([kind], count)
    yield workers
