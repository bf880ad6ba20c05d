"""Every example of the documents works as written, on the real stack."""

import json
from pathlib import Path

import pytest

from deploy.docs import pages
from tests.docs.examples import LANGUAGES, Block, blocks, last_json, run, same_shape
from tests.journeys.stack import Stack

PAGES = ["README", *pages()]
WITH_EXAMPLES = [page for page in PAGES if any(block.is_run for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_examples_of_a_page_run_and_answer_as_documented(page: str, stack: Stack, tmp_path: Path) -> None:
    printed = run(page, stack, tmp_path)
    found = blocks(page)
    for number, block in enumerate(found):
        if block.is_answer:
            asked = max(before for before in printed if before < number)
            assert same_shape(json.loads(block.code), last_json(printed[asked])) == [], block


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def test_code_block_that_is_not_run_gives_a_reason() -> None:
    for block in all_blocks():
        assert block.language, f"{block}: name the language of the block, or text"
        assert not block.note or block.is_answer or len(block.reason) > 10, f"{block}: {block.note!r}"
        assert not block.reason or block.language in LANGUAGES, block


def test_most_code_blocks_of_the_documentation_are_run() -> None:
    commands = [block for block in all_blocks() if block.language in LANGUAGES]
    assert sum(block.is_run for block in commands) > len(commands) / 2
    assert {"README", "start", "send", "errors", "read", "batches"} <= set(WITH_EXAMPLES)


def test_every_json_block_of_the_documentation_parses() -> None:
    for block in all_blocks():
        if block.language == "json":
            json.loads(block.code)


def test_examples_use_the_address_that_the_runner_replaces() -> None:
    for block in all_blocks():
        if block.is_run:
            assert "localhost:8000" not in block.code, block


def test_comparison_of_answers_checks_keys_types_and_verdicts() -> None:
    assert same_shape({"status": "LANDED", "n": 1}, {"status": "LANDED", "n": 2}) == []
    assert same_shape({"status": "LANDED"}, {"status": "FAILED"}) != []
    assert same_shape({"rows": [{"a": 1}]}, {"rows": [{"b": 1}]}) != []
    assert same_shape({"rows": [{"a": 1}]}, {"rows": []}) != []
    assert same_shape({"a": 1}, {"a": "1"}) != []
