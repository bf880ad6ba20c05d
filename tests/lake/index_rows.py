"""Rows of the index: the terms that they have, and the columns of the previous version."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from lake.models import IndexTransition, Record

BEFORE = """
ALTER TABLE lake_record RENAME COLUMN resent_by TO sequence;
UPDATE lake_record SET sequence = coalesce(sequence, batch_id);
ALTER TABLE lake_record ALTER COLUMN sequence SET NOT NULL, ADD COLUMN resent_by bigint,
  ADD COLUMN type varchar(32) NOT NULL DEFAULT '', ADD COLUMN product_id text NOT NULL DEFAULT ''
"""


def stored_terms(row: Record) -> list[int]:
    """What a row has: the terms of its columns, the number of its set, and its other terms."""
    return [one for one in (row.thread_term, row.vendor_term, row.term_set, *(row.terms or ())) if one is not None]


@pytest.fixture
def previous_columns(db: None) -> Iterator[None]:
    """The migration has just added its columns, and processes of the previous version still run."""
    with connection.cursor() as cursor:
        cursor.execute(BEFORE)
    IndexTransition.objects.create(ends_at=Now() + timedelta(hours=1))
    yield
