"""Retention (`evermuse.retention`): the days for which each kind of row is kept. 0 removes rows as soon as that is safe."""

from evermuse import env

EVERMUSE_PAYLOAD_RETENTION_DAYS = env.integer(
    "EVERMUSE_PAYLOAD_RETENTION_DAYS",
    7,
    help="Days for which the body of a request is kept in PostgreSQL after its batch has settled. Its records stay in the object store.",
)
EVERMUSE_REJECTED_RECORD_RETENTION_DAYS = env.integer(
    "EVERMUSE_REJECTED_RECORD_RETENTION_DAYS",
    90,
    help="Days for which rejected records are kept after their batch has settled.",
)
EVERMUSE_OUTCOME_RETENTION_DAYS = env.integer(
    "EVERMUSE_OUTCOME_RETENTION_DAYS",
    90,
    help="Days for which the outcome of each record is kept after its batch has settled.",
)
EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS = env.integer(
    "EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS",
    90,
    help="Days for which download attempts, and with them a batch's attachment ledger, are kept after the batch has settled.",
)
EVERMUSE_PROCESSOR_RUN_RETENTION_DAYS = env.integer(
    "EVERMUSE_PROCESSOR_RUN_RETENTION_DAYS",
    90,
    help="Days for which the state of each processor is kept after its batch has settled.",
)
EVERMUSE_VERSION_RETENTION_DAYS = env.integer(
    "EVERMUSE_VERSION_RETENTION_DAYS", 90, help="Days for which a version of a record is kept after it was replaced."
)
# The contract promises 90 days.
EVERMUSE_REMOVED_RETENTION_DAYS = env.integer(
    "EVERMUSE_REMOVED_RETENTION_DAYS",
    90,
    minimum=90,
    help="Days for which `GET /api/v1/records/removed` lists a removed record.",
)
# The contract promises 24 hours.
EVERMUSE_IDEMPOTENCY_RETENTION_DAYS = env.integer(
    "EVERMUSE_IDEMPOTENCY_RETENTION_DAYS",
    1,
    minimum=1,
    help="Days for which the answer to an `Idempotency-Key` is kept and repeated.",
)
EVERMUSE_PROBLEM_RETENTION_DAYS = env.integer(
    "EVERMUSE_PROBLEM_RETENTION_DAYS", 90, help="Days for which a problem group is kept after it was last seen."
)
EVERMUSE_JOB_RETENTION_DAYS = env.integer(
    "EVERMUSE_JOB_RETENTION_DAYS", 90, help="Days for which a job is kept after it finished."
)
EVERMUSE_ALERT_RETENTION_DAYS = env.integer(
    "EVERMUSE_ALERT_RETENTION_DAYS", 90, help="Days for which an alert is kept after it was written."
)
EVERMUSE_AUDIT_RETENTION_DAYS = env.integer(
    "EVERMUSE_AUDIT_RETENTION_DAYS", 90, help="Days for which the audit log is kept."
)
EVERMUSE_LOGIN_RETENTION_DAYS = env.integer(
    "EVERMUSE_LOGIN_RETENTION_DAYS", 90, help="Days for which failed logins are kept."
)
# An expired session has no use.
EVERMUSE_SESSION_RETENTION_DAYS = env.integer(
    "EVERMUSE_SESSION_RETENTION_DAYS", 0, help="Days for which a session of the admin is kept after it expired."
)
