"""Names for prepared statements: a digest of the statement's text and of its parameters' types.

A pooler may give a connection another server session for each transaction. Numbered names would then refer to other
statements, and a wrong statement would run. A name of ours refers to the same statement in every session of every process. The
worst that can happen is that a session does not know the name yet, or knows it already; both are errors before anything runs.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg import pq
from psycopg._preparing import Key, Prepare, PrepareManager
from psycopg._queries import PostgresQuery

# None of the names that are imported from modules of psycopg with an underscore, nor a connection's `_prepared`, is
# documented. A test fails with any other version.
WRITTEN_FOR = {"psycopg": "3.3.9"}


def name_of(text: bytes, types: Sequence[int] | None = None) -> bytes:
    """The name of a statement, within PostgreSQL's 63 bytes. ``types``: None if PostgreSQL infers them."""
    return b"evermuse_" + blake2b(b"%r %b" % (types, text), digest_size=16).hexdigest().encode()


class StatementNames(PrepareManager):
    """psycopg's record of a connection's prepared statements. ``may_prepare``: whether the connection may have any.
    ``is_pooled``: whether it leads to a pooler.
    """

    # Set for all connections of the process, once a session did not have the statement that it should have.
    has_lost_any = False

    def __init__(self, *, may_prepare: bool, is_pooled: bool) -> None:
        super().__init__()
        self.prepare_threshold = None
        self.is_pooled = is_pooled
        self._may_prepare = may_prepare

    @property
    def may_prepare(self) -> bool:
        return self._may_prepare and not StatementNames.has_lost_any

    def get(self, query: PostgresQuery, prepare: bool | None = None) -> tuple[Prepare, bytes]:
        """Like psycopg's, with our name."""
        if not self.may_prepare:
            return Prepare.NO, b""
        found, name = super().get(query, prepare)
        return (found, name_of(query.query, query.types)) if found is Prepare.SHOULD else (found, name)

    def validate(self, key: Key, prep: Prepare, name: bytes, results: Sequence["pq.abc.PGresult"]) -> None:
        """Keep a statement whose execution failed: the session keeps it, and would refuse the name a second time."""
        if any(result.status == pq.ExecStatus.PIPELINE_ABORTED for result in results):
            self._names.pop(key, None)
        else:
            self._rotate()

    def clear(self) -> bool:
        """Keep all statements. psycopg would make the server forget them after each ROLLBACK.

        PostgreSQL keeps them, and behind a pooler DEALLOCATE ALL would end the statements of others.
        """
        return False


def use(raw: psycopg.Connection[Any], names: StatementNames) -> None:
    """Give a new connection these names for its statements."""
    raw._prepared = names


def of(raw: psycopg.Connection[Any]) -> StatementNames:
    """The names of a connection, which `use` set."""
    found = raw._prepared
    assert isinstance(found, StatementNames)
    return found
