"""Load through the proxy, while machines are lost one after the other, and in the end the primary's."""

import time
from collections import Counter
from dataclasses import dataclass

from tests.attachments.vendor import Vendor
from tests.journeys.client import INGEST
from tests.journeys.deployment import LEASE_SECONDS, drain, until
from tests.journeys.load import Load
from tests.journeys.scale_out import network
from tests.journeys.scale_out.cluster import PRIMARY, STANDBY, Cluster
from tests.journeys.trial import unsettled
from tests.journeys.verdict import Verdict, judge

CLIENTS = 4
FILES = 4
# Between two losses.
PAUSE_SECONDS = 3.0
# For this long an asynchronous standby receives nothing before the primary is lost.
BEHIND_SECONDS = 1.0
COMPARED = "SELECT promoted_at IS NULL FROM lake_databasetimeline"
NEEDS_CHECK = "SELECT id FROM lake_restoremark WHERE set_back_at IS NOT NULL"


@dataclass(frozen=True)
class Failover:
    """``away_seconds``: from the loss of the primary to the next 202. ``ids_twice``: ids that two batches were given.

    ``gone``: acknowledged batches whose ids the API does not know. ``needs_check``: whether the bucket was ahead of the database.
    """

    is_synchronous: bool
    verdict: Verdict
    away_seconds: float
    drain_seconds: float
    gone: int
    ids_twice: int
    needs_check: bool
    requests: int
    records: int

    @property
    def is_as_promised(self) -> bool:
        """Whether nothing is wrong that must not be. What an asynchronous standby had not received is lost."""
        verdict = self.verdict
        if self.is_synchronous:
            return verdict.is_clean and not (self.gone or self.ids_twice or self.needs_check)
        return not (self.ids_twice or verdict.doubled or verdict.wrong_version or verdict.wrong_counts)


def run(cluster: Cluster, *, is_synchronous: bool, seed: int) -> Failover:
    """One failover, and the count of what was acknowledged, lost and doubled."""
    cluster.wait_for_standby(is_synchronous=is_synchronous)
    vendor = Vendor(host=network.OUTSIDE)
    files = tuple(
        vendor.on(f"/{number}", lambda exchange, number=number: exchange.answer(b"%d" % number * 1000))  # type: ignore[misc]
        for number in range(FILES)
    )
    load = Load(cluster.new_client(), seed, clients=CLIENTS, files=files)
    load.start()
    try:
        _acknowledged(load, "the load has begun")
        time.sleep(PAUSE_SECONDS)
        if len(cluster.webs) > 1:
            _lose_others(cluster, load)
        away = _lose_primary(cluster, load, is_synchronous=is_synchronous)
        time.sleep(PAUSE_SECONDS)
    finally:
        load.stop()
    stopped_at = time.monotonic()
    _drain(cluster, load)
    drained = time.monotonic() - stopped_at
    until(lambda: cluster.rows(COMPARED) == [(True,)], "the bucket was compared with the new primary")
    if needs_check := bool(cluster.rows(NEEDS_CHECK)):
        cluster.manage("restorecheck", exit_codes=(0, 1))
        _drain(cluster, load)
    verdict = judge(cluster, load)
    vendor.close()
    given = Counter(sent.batch_id for sent in load.acknowledged())
    return Failover(
        is_synchronous=is_synchronous,
        verdict=verdict,
        away_seconds=away,
        drain_seconds=drained,
        gone=sum(_is_gone(load, batch_id) for batch_id in given),
        ids_twice=sum(count > 1 for count in given.values()),
        needs_check=needs_check,
        requests=len(load.sent),
        records=sum(sent.count for sent in load.acknowledged()),
    )


def _drain(cluster: Cluster, load: Load) -> None:
    drain(lambda: unsettled(cluster, load.client.workspace), "the backlog of the failover")


def _is_gone(load: Load, batch_id: str) -> bool:
    return load.client.get(f"{INGEST}/batches/{batch_id}").status_code == 404


def _lose_others(cluster: Cluster, load: Load) -> None:
    """A web process, a landing worker, a beat and an attachment worker are lost; another landing worker only its cable."""
    lost = [machines[0] for machines in (cluster.webs, cluster.landings, cluster.beats, cluster.files)]
    for machine in lost:
        cluster.power_off(machine)
        _acknowledged(load, f"batches are accepted without {machine.name}")
    time.sleep(PAUSE_SECONDS)
    for machine in lost:
        cluster.power_on(machine)
    # Its claims are taken over meanwhile, and it must not write when it is back.
    with cluster.landings[1].unplugged(LEASE_SECONDS * 2.5):
        _acknowledged(load, f"batches are accepted without {cluster.landings[1].name}")
    _acknowledged(load, "all machines are back")
    time.sleep(PAUSE_SECONDS)


def _lose_primary(cluster: Cluster, load: Load, *, is_synchronous: bool) -> float:
    if not is_synchronous:
        STANDBY.cut()
        time.sleep(BEHIND_SECONDS)
    lost_at = time.monotonic()
    cluster.power_off(PRIMARY)
    STANDBY.mend()
    cluster.promote()
    _acknowledged(load, "batches are accepted by the new primary")
    return time.monotonic() - lost_at


def _acknowledged(load: Load, what: str) -> None:
    """Waits for a 202 to a request that was sent from now on."""
    sent = len(load.sent)
    until(lambda: any(one.batch_id for one in load.sent[sent:]), what)
