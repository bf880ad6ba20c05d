"""The documents repeat figures of the retry policies. They must be those of `evermuse.retry_policy`."""

from pathlib import Path

import pytest

from evermuse import retry_policy

DOCS = Path(__file__).resolve().parents[2] / "evermuse" / "docs"
UNITS = {3600: "hour", 60: "minute", 1: "second"}


def text_of(document: str) -> str:
    return " ".join((DOCS / document).read_text().split())


def duration(seconds: float) -> str:
    size = next(size for size in UNITS if seconds % size == 0)
    count = int(seconds // size)
    return f"{count} {UNITS[size]}{'s' if count > 1 else ''}"


def limits_of_downloads() -> str:
    policy = retry_policy.downloads()
    assert policy.window is not None
    return f"at most {policy.max_attempts} attempts within {duration(policy.window)}"


@pytest.mark.parametrize("document", ["contract.md", "errors.md"])
def test_document_names_the_attempts_and_the_window_of_downloads(document: str) -> None:
    assert limits_of_downloads() in text_of(document)


def test_architecture_names_the_waits_of_downloads_and_the_longest_retry_after() -> None:
    policy = retry_policy.downloads()
    waits = [min(policy.first * policy.factor**number, policy.longest) for number in range(3)]
    text = text_of("architecture.md")
    assert f"retried after {', '.join(f'{wait:g}' for wait in waits)}, … seconds" in text
    assert f"A `Retry-After` up to {policy.longest_asked:g} s is honoured" in text


def test_extend_names_the_first_and_the_longest_wait_of_processors() -> None:
    policy = retry_policy.PROCESSORS
    assert f"retried after {duration(policy.first)}, then with backoff up to {duration(policy.longest)}" in text_of(
        "extend.md"
    )
