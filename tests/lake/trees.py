"""Watches the texts that the validator reads as a whole, and those of which it builds trees."""

from types import ModuleType
from typing import Any

import pytest

from lake import json_tree


def sizes_of_trees(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the size of each text of which a tree is built."""
    return sizes_given_to(json_tree, "tree", monkeypatch)


def sizes_given_to(module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the size of each text that a function of a module is called with."""
    sizes: list[int] = []
    plain = getattr(module, name)

    def watched(text: bytes) -> Any:
        sizes.append(len(text))
        return plain(text)

    monkeypatch.setattr(module, name, watched)
    return sizes
