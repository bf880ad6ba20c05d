"""Adds records that were stored before the journal existed, in steps, in the order of their ids."""

from evermuse import prepared
from lake.journal import sql

# A step is one statement. The entries of a round are written before the next round.
RECORDS_A_STEP, STEPS_A_ROUND = 2000, 10


def fill() -> int:
    """Note the next records. Returns their number: 0 when all are noted, or while earlier versions may still run."""
    noted = 0
    for _ in range(STEPS_A_ROUND):
        rows = prepared.rows(sql.FILL, {"limit": RECORDS_A_STEP})
        noted += rows[0][0] if rows else 0
        if not rows or rows[0][0] < RECORDS_A_STEP:
            break
    return noted
