"""The mails that Python tests its own parser with: odd, broken, and with a known outcome."""

import importlib.util
from pathlib import Path

import pytest

from tests.evermuse.client.convert.running import run


def test_mails_of_pythons_own_tests_are_converted_unless_they_are_copies_or_lack_date_or_header(tmp_path: Path) -> None:
    try:
        found = importlib.util.find_spec("test.test_email")
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        pytest.skip("Python is installed without its tests")
    mails = sorted(Path(found.origin).parent.joinpath("data").glob("msg_*.txt"))
    done = run("eml", *mails, folder=tmp_path)
    assert done.writer.read == len(mails)
    assert len(done.records) > len(mails) // 2
    assert {reason.partition(":")[0] for reason in done.reasons} <= {"no date", "no header", "duplicate"}
