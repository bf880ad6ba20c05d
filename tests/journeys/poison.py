"""Makes a journey's worker hang, crash or run out of memory when it meets a file or record with a certain name.

An application of `tests.journeys.poisoned_settings`, so that every process of the worker has it, those of suspects too.
"""

import ctypes
import os
import signal
from pathlib import Path
from typing import Any

from django.apps import AppConfig

# A C function called through PyDLL keeps the interpreter's lock, like a regular expression that backtracks.
_c = ctypes.PyDLL(None)


def harm(how: str) -> None:
    """Does what a poisonous file or record would do."""
    if how == "hang":
        _c.sleep(600)
    elif how == "crash":
        ctypes.string_at(0)  # unlike a signal, this crashes the calling thread at once
    elif how == "memory":
        eaten: list[bytearray] = []
        while len(eaten) < 64:
            eaten.append(bytearray(16 << 20))
        # A gigabyte is more than a process for one file gets. The kernel kills other processes at the end of the machine's
        # memory; a test that went there would stop everything else on the machine.
        os.kill(os.getpid(), signal.SIGKILL)


class Poison(AppConfig):
    """Harms the process when it meets "poison-HOW"."""

    name = "tests.journeys.poison"
    label = "poison"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        from attachments import transfer
        from ingest.pipeline import landing as pipeline
        from lake import landing

        run, examine = transfer.Fetch.run, landing.examine

        def poisoned_run(self: transfer.Fetch) -> Any:
            _, _, how = self.claim.vendor_url.partition("poison-")
            harm(how)
            return run(self)

        def poisoned_examine(raws: Any, *args: Any, **options: Any) -> Any:
            for raw in raws:
                if b"poison-landing" in bytes(raw):
                    harm("hang")
            return examine(raws, *args, **options)

        transfer.Fetch.run = poisoned_run  # type: ignore[method-assign]
        vars(pipeline)["examine"] = poisoned_examine
