"""The time limits of database sessions, in milliseconds: of a statement, of a wait for a lock, and of a transaction that does
nothing.

A session gets them when it starts. `evermuse.time_limits` sets and lifts them later.
"""

LIMITS = {"statement_timeout": 30_000, "lock_timeout": 20_000, "idle_in_transaction_session_timeout": 60_000}
# For `DATABASES`.
START_OPTIONS = " ".join(f"-c {name}={milliseconds}" for name, milliseconds in LIMITS.items())
# Besides ours, the limit that an operator may have set.
ALL = (*LIMITS, "transaction_timeout")
