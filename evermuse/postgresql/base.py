"""The backend that ``DATABASES`` names: Django's own, which refuses servers older than `MINIMUM` when it connects.

Older servers lack what landing uses, so every batch would wait. The refusal is a NotSupportedError that names both versions.
A new connection is examined for a pooler, and one to the primary for a new timeline. The wait for its answers can be limited.
"""

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base, features

from evermuse import answer_deadline, pooler, timelines

MINIMUM = 16


class DatabaseFeatures(features.DatabaseFeatures):
    """Django's features with our minimum version."""

    minimum_database_version = (MINIMUM,)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection with our minimum version."""

    features_class = DatabaseFeatures
    Database = answer_deadline.Database

    def init_connection_state(self) -> None:
        """Django's, and the search for a pooler and a new timeline."""
        super().init_connection_state()
        with self.wrap_database_errors:
            pooler.examine(self.connection)
            if self.alias == DEFAULT_DB_ALIAS:
                timelines.look(self.connection)
