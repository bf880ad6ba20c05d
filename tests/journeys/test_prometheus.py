"""Prometheus with the shipped files scrapes a running stack, and its rules fire when something goes wrong."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.attachments.vendor import Vendor
from tests.journeys.client import HttpClient
from tests.journeys.stack import ROOT, Stack, until
from tests.parts import prometheus as part
from tests.parts.prometheus import Prometheus
from tests.records import record

DASHBOARD = ROOT / "deploy/grafana/evermuse.json"
pytestmark = pytest.mark.skipif(not part.PROGRAM, reason=part.MISSING)


@pytest.fixture(scope="module")
def prometheus(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It runs and has scraped the stack."""
    started = Prometheus(running_stack.url.removeprefix("http://"), tmp_path_factory.mktemp("prometheus"))
    try:
        until(started.is_ready, "Prometheus has scraped the stack")
        yield started
    finally:
        started.close()


def test_rules_fire_when_a_batch_waits_without_workers_and_end_with_the_fault(
    prometheus: Prometheus, client: HttpClient, stack: Stack
) -> None:
    ours = {"EvermuseBacklogOld", "EvermuseWorkersMissing"}
    until(lambda: not prometheus.firing() & ours, "no alert of a stack that works")
    stack.stop("worker-landing")
    sent = client.send({"records": [record()]})
    # Otherwise the test would wait for five minutes.
    stack.rows(
        "UPDATE ingest_batch SET created_at = created_at - interval '10 minutes' WHERE id = "
        "(SELECT max(id) FROM ingest_batch) RETURNING id"
    )
    until(lambda: prometheus.firing() >= ours, "the alerts fire")
    assert (prometheus.value("max(evermuse_oldest_waiting_batch_age_seconds)") or 0) > 300
    assert prometheus.value('evermuse_workers{kind="landing"}') == 0
    stack.start("worker-landing")
    assert client.settled(sent)["status"] == "COMPLETE"
    until(lambda: not prometheus.firing() & ours, "the alerts have ended")


def test_alert_fires_when_the_object_store_does_not_answer(prometheus: Prometheus, stack: Stack) -> None:
    until(lambda: "EvermuseServerAway" not in prometheus.firing(), "no alert of a stack that works")
    with stack.frozen("seaweedfs"):
        until(lambda: "EvermuseServerAway" in prometheus.firing(), "the alert fires")
        assert prometheus.value('evermuse_server_up{server="objectStore"}') == 0
    until(lambda: "EvermuseServerAway" not in prometheus.firing(), "the alert has ended")


def test_alert_fires_when_the_web_process_is_gone(prometheus: Prometheus, stack: Stack) -> None:
    until(lambda: "EvermuseAway" not in prometheus.firing(), "no alert of a stack that works")
    stack.stop("web")
    until(lambda: "EvermuseAway" in prometheus.firing(), "the alert fires")
    stack.start("web")
    until(lambda: "EvermuseAway" not in prometheus.firing(), "the alert has ended")


def test_every_query_of_the_dashboard_is_answered_from_scraped_metrics(
    prometheus: Prometheus, client: HttpClient, vendor: Vendor
) -> None:
    urls = [vendor.on("/file", lambda exchange: exchange.answer(b"a file")), vendor.url("/gone")]
    files = record(attachments=[{"type": "file", "vendor_url": url} for url in urls])
    client.settled(client.send({"records": [files, {"_type": "none"}]}))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    needed = set(re.findall(r"\bevermuse_\w+", " ".join(queries)))
    assert len(needed) > 15
    missing = needed.copy()

    def all_are_scraped() -> bool:
        missing.difference_update(prometheus.ask("label/__name__/values"))
        return not missing

    until(all_are_scraped, f"{missing} are scraped")
    for query in queries:
        asked = query.replace("$__rate_interval", "1m").replace("$workspace", ".*")
        assert prometheus.ask("query", query=asked)["resultType"] in {"vector", "scalar"}, query
