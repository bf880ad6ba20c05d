"""PostgreSQL's advisory locks of the product: one place for their numbers, so that no two mean the same one."""

from enum import IntEnum, unique


@unique
class AdvisoryLock(IntEnum):
    """Numbers for ``pg_advisory_xact_lock``. Idempotency keys take theirs from hashes (`ingest.admission.idempotency`)."""

    DOWNLOAD_CLAIMS = 7_305_213_901
    ROLL_UP = 7_305_213_902
    MEASURE_STANDING = 7_305_213_903
    RETENTION = 7_305_213_904
    # Of the two-number form: the second one is the workspace.
    UPLOAD_QUOTA = 73_052
