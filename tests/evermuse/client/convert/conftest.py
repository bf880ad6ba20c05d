"""What several tests of the converters need."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evermuse.client.convert import ConvertOptions
from evermuse.client.convert.mail import message
from evermuse.client.convert.mail.message import Mail
from evermuse.client.convert.mail.threads import ThreadIndex, Threads
from lake.landing import examine
from tests.evermuse.client.convert.running import CATALOG, Convert


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Convert]:
    """Converts one mail to its record, in this process."""
    index = ThreadIndex(tmp_path / "threads")
    index.finish()
    threads = Threads(tmp_path / "threads")

    def convert(raw: bytes | str, **options: Any) -> dict[str, Any]:
        given = Mail(raw.encode() if isinstance(raw, str) else raw)
        line = message.convert(given, ConvertOptions(product_id="prod", project_ids=("proj",), **options), threads).line
        assert not examine([line], lambda products, projects: CATALOG).rejected
        return dict(json.loads(line))

    yield convert
    threads.close()
