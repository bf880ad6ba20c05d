"""No fault breaks the promise of a 202. This is a short selection; `make faults` runs all faults for longer."""

import os

import pytest

from tests.journeys import trial
from tests.journeys.faults import FAULTS
from tests.journeys.stack import Stack

SEED = int(os.environ.get("EVERMUSE_FAULTS_SEED", "1"))
# The load goes on while processes start again. Four clients without pauses would take the time that those need. `make faults`
# sends several times as much.
PAUSE = 0.4
SHORT = [
    "web: kill -9",
    "worker-landing: kill -9 of its children alone",
    "worker-landing: kill -9 after the archive, before the index",
    "worker-landing: overtaken, then wakes up before the index",
    "worker-landing: kill -9 between the intended and the written segment",
    "compaction: kill -9 between the written segment and the pointers",
    "worker-attachments: kill -9",
    "broker: out of memory",
    "postgresql: connections cut, again and again",
    "postgresql: read-only",
    "store: answers 503",
    "clock: set back by an hour while claims stand",
]


@pytest.mark.parametrize("fault", SHORT)
def test_no_acknowledged_record_is_lost_doubled_or_miscounted_after_a_fault(stack: Stack, fault: str) -> None:
    assert fault in FAULTS
    found = trial.run(stack, fault, SEED, pause=PAUSE)
    assert found.verdict.acknowledged > 0
    assert found.verdict.is_clean, found.verdict.told
