"""The product's engine, without the guard of Django's test cases: they refuse databases that were added during a test."""

from evermuse.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Connects without asking the test case."""

    def ensure_connection(self) -> None:
        if self.connection is None:
            with self.wrap_database_errors:
                self.connect()
