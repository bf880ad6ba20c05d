"""Python's cycle collector in processes that hold thousands of parsed records for a moment: they are no cycles."""

import gc

# Containers that come alive before the collector looks at the young ones: a batch of 1,000 records makes some thousands.
YOUNG = 50_000


def settle() -> None:
    """Keep what was loaded out of the collector's sight, and have it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
