"""The numbers of PostgreSQL's advisory locks, all in one place, so that no two locks share a number."""

from enum import IntEnum, unique


@unique
class AdvisoryLock(IntEnum):
    """Numbers for ``pg_advisory_xact_lock``. Idempotency keys take theirs from hashes (`ingest.admission.idempotency`)."""

    ROLL_UP = 7_305_213_902
    MEASURE_STANDING = 7_305_213_903
    RETENTION = 7_305_213_904
    PAYLOAD_PARTITIONS = 7_305_213_905
    # The first of two numbers. The second is the workspace.
    UPLOAD_QUOTA = 73_052
