"""Fewer runs of Python's garbage collector in processes that hold thousands of parsed records, which are no cycles."""

import gc

# The number of new containers that starts a collection. A batch of 1,000 records creates some thousands.
YOUNG = 50_000


def relax() -> None:
    """Exempt everything loaded so far from collections, and run them less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
