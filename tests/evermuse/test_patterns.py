"""No regular expression of the product can backtrack without bound, because clients choose the bytes that it matches."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

# The standard library's own parser of regular expressions, which has no public name.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")
PACKAGES = ("evermuse", "ingest", "lake", "attachments")
# Modules that run when they are imported.
COMMANDS = ("celery", "asgi", "wsgi", "flowerconfig", "management", "migrations", "__main__")


def modules() -> Iterator[Any]:
    for package in PACKAGES:
        found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        for name in sorted(module.name for module in found):
            if not any(part in COMMANDS for part in name.split(".")):
                yield importlib.import_module(name)


def patterns() -> dict[str, "re.Pattern[Any]"]:
    return {
        f"{module.__name__}.{name}": value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def is_nested(parsed: Any, *, is_inside: bool = False) -> bool:
    """Whether an unbounded repeat is nested in another one, and both can backtrack."""
    repeats = {_constants.MAX_REPEAT, _constants.MIN_REPEAT}
    for operation, argument in parsed:
        is_open = operation in repeats and argument[1] is _constants.MAXREPEAT
        if is_open and is_inside:
            return True
        inner = argument if isinstance(argument, tuple | list) else ()
        for part in inner:
            parts = part if isinstance(part, list) else [part]
            for one in parts:
                if isinstance(one, _parser.SubPattern) and is_nested(one, is_inside=is_inside or is_open):
                    return True
    return False


@pytest.mark.parametrize("pattern", [r"(?:<!--.*?-->\s*)*<", "(a+)+", "(?:a|b*)*", "(?:(?:ab*)c)+"])
def test_check_finds_a_nested_repeat_in_a_pattern(pattern: str) -> None:
    assert is_nested(_parser.parse(pattern))


@pytest.mark.parametrize("pattern", ["a*b*", "(?:a++|b)*+", "(?:a{0,3})*", "(?:ab|c)*d+"])
def test_check_accepts_repeats_that_cannot_backtrack(pattern: str) -> None:
    assert not is_nested(_parser.parse(pattern))


def test_no_pattern_of_the_product_nests_repeats() -> None:
    found = patterns()
    assert len(found) > 15
    assert [name for name, one in found.items() if is_nested(_parser.parse(one.pattern, one.flags & ~re.UNICODE))] == []
