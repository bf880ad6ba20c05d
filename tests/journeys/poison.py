"""What a worker of the journeys does with a file or record that is named for it: it hangs, dies, or takes all memory.

An application of `tests.journeys.poisoned_settings`, so that every process of the worker has it, those of suspects too.
"""

import ctypes
from pathlib import Path
from typing import Any

from django.apps import AppConfig

# Called through PyDLL, a C function keeps the interpreter's lock, as a regular expression does that backtracks.
_c = ctypes.PyDLL(None)


def harm(how: str) -> None:
    """Do what a poisonous file or record would do."""
    if how == "hang":
        _c.sleep(600)
    elif how == "crash":
        ctypes.string_at(0)  # a signal could be taken by another thread, some time later
    elif how == "memory":
        eaten = []
        while True:
            eaten.append(bytearray(16 << 20))


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
