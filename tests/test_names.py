"""Public classes of the product have different names, so that an import is never ambiguous."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("ingest", "attachments", "lake", "evermuse")
# Django finds each command by this name.
CONVENTIONS = {"Command"}
# Still to be renamed.
KNOWN = {"Place", "Span"}


def test_no_two_public_classes_have_the_same_name() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    modules[node.name].append(str(path.relative_to(ROOT)))
    assert "Batch" in modules
    assert {name: found for name, found in modules.items() if len(found) > 1 and name not in CONVENTIONS | KNOWN} == {}
