"""Answers are decoded by several threads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
# Each round is the first use of a structure, by eight threads at once. With `msgspec.json.decode` the process crashes.
FIRST_USES = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from msgspec import defstruct
from evermuse.client import rows

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    for number in range(150):
        globals()["Inner"] = defstruct("Inner", [(f"a{n}", "int | None", None) for n in range(30)])
        fields = [("x", "list[Inner]"), *((f"b{n}", "str | None", None) for n in range(30))]
        kind = defstruct("Kind", fields, module=__name__)
        barrier = threading.Barrier(8)

        def decode(turn):
            barrier.wait()
            if turn % 2:
                return rows.decode(b'{"x":[{"a1":1}],"b3":"x"}', kind)
            return rows.decode_page(b'{"rows":[{"x":[{"a1":1}],"b3":"x"}],"nextCursor":null}', "rows", kind)[0][0]

        assert all(found.b3 == "x" and found.x[0].a1 == 1 for found in pool.map(decode, range(8)))
"""


def test_first_use_of_an_answer_by_several_threads_does_not_crash() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
