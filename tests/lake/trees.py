"""Watches the trees that the validator builds."""

from typing import Any

import pytest

from lake import json_tree


def sizes_of_trees(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the size of each text of which a tree is built."""
    sizes: list[int] = []
    plain = json_tree.tree

    def tree(text: bytes) -> Any:
        sizes.append(len(text))
        return plain(text)

    monkeypatch.setattr(json_tree, "tree", tree)
    return sizes
