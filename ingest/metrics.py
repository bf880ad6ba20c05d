"""Metrics for Prometheus, read from PostgreSQL at each scrape: the same figures whichever process answers."""

from collections.abc import Iterator

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from attachments.models import Attachment
from ingest.models import Batch


class StateCollector(Collector):
    """The state of batches and attachments."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family per figure; names carry their unit."""
        by_status = GaugeMetricFamily("evermuse_batches", "Batches by status.", labels=["status"])
        records = GaugeMetricFamily("evermuse_batch_records", "Records of batches by verdict.", labels=["verdict"])
        totals = {"accepted": 0, "rejected": 0}
        rows = (
            Batch.objects.values("status")
            .order_by()
            .annotate(n=Count("id"), accepted=Sum("accepted_count"), rejected=Sum("rejected_count"))
        )
        for row in rows:
            by_status.add_metric([row["status"]], row["n"])
            totals["accepted"] += row["accepted"] or 0
            totals["rejected"] += row["rejected"] or 0
        for verdict, count in totals.items():
            records.add_metric([verdict], count)
        yield by_status
        yield records
        yield self._age()
        states = GaugeMetricFamily("evermuse_attachments", "Attachments by state.", labels=["state"])
        size = 0
        for file in Attachment.objects.values("state").order_by().annotate(n=Count("id"), size=Sum("size")):
            states.add_metric([file["state"]], file["n"])
            size += file["size"] or 0
        yield states
        yield GaugeMetricFamily("evermuse_attachment_stored_bytes", "Bytes of stored attachments.", value=size)

    def _age(self) -> GaugeMetricFamily:
        oldest = Batch.objects.filter(Q(status=Batch.Status.LANDING)).aggregate(at=Min("created_at"))["at"]
        age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
        return GaugeMetricFamily(
            "evermuse_oldest_waiting_batch_age_seconds", "Age of the oldest batch that has not landed.", value=age
        )
