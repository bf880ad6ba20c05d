"""One trial: load, a fault meanwhile, healing, draining, and the verdict."""

import random
import time
from dataclasses import dataclass

from tests.attachments.vendor import Vendor
from tests.journeys import proxy
from tests.journeys.deployment import Deployment, drain
from tests.journeys.faults import FAULTS
from tests.journeys.load import Load
from tests.journeys.stack import Stack, until
from tests.journeys.verdict import Verdict, judge

UNSETTLED = """
SELECT count(*) FROM ingest_batch b JOIN ingest_workspace w ON w.id = b.workspace_id
WHERE w.name = %s AND b.status NOT IN ('COMPLETE', 'FAILED')
"""
LEFTOVERS = "SELECT count(*) FROM attachments_downloadattempt WHERE leftovers AND finished_at IS NOT NULL"


def unsettled(deployment: Deployment, workspace: str) -> int:
    """How many batches of a workspace have not come to their end."""
    [[count]] = deployment.rows(UNSETTLED, workspace)
    return int(count)


@dataclass(frozen=True)
class Trial:
    """The result of a fault. ``drain_seconds``: from its healing until everything is settled."""

    fault: str
    seed: int
    sent: int
    verdict: Verdict
    drain_seconds: float


def run(stack: Stack, fault: str, seed: int, *, pause: float = 0.05) -> Trial:
    """Runs one trial in a new workspace. The seed decides what is sent and when the fault begins. ``pause``: that of the load."""
    rng = random.Random(f"{seed} {fault}")
    vendor = Vendor()
    files = tuple(
        vendor.on(f"/{number}", lambda exchange, number=number: exchange.answer(b"%d" % number * 1000))  # type: ignore[misc]
        for number in range(6)
    )
    load = Load(stack.new_client(), rng.randrange(1 << 30), pause=pause, files=files)
    load.start()
    try:
        time.sleep(0.3 + rng.random() * 0.4)
        with FAULTS[fault](stack):
            time.sleep(0.3)
        healed_at = time.monotonic()
        until(stack.is_up, "the stack is up again")
        time.sleep(0.5)
    finally:
        load.stop()
        # A fault that failed may have left it silent, and everything after it would wait for the store in vain.
        stack.store_proxy.switch(proxy.PASS)
    drain(lambda: unsettled(stack, load.client.workspace), f"the backlog after {fault}")
    drained = time.monotonic() - healed_at
    until(lambda: stack.rows(LEFTOVERS) == [(0,)], f"leftovers are deleted after {fault}")
    verdict = judge(stack, load)
    vendor.close()
    return Trial(fault, seed, len(load.sent), verdict, drained)
