"""Classes of the product have different names, private ones too: one name, one thing.

The client is a package of its own, and names the server's things by the server's words.
"""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("ingest", "attachments", "lake", "evermuse")
# Django finds each command by this name.
CONVENTIONS = {"Command"}
CLIENT = ROOT / "evermuse" / "client"


def repeated(paths: list[Path]) -> dict[str, list[str]]:
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                modules[node.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    assert "Batch" in modules
    return {name: found for name, found in modules.items() if len(found) > 1 and name not in CONVENTIONS}


def test_no_two_classes_of_the_server_have_the_same_name() -> None:
    paths = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    assert repeated([path for path in paths if "migrations" not in path.parts and CLIENT not in path.parents]) == {}


def test_no_two_classes_of_the_client_have_the_same_name() -> None:
    assert repeated(list(CLIENT.rglob("*.py"))) == {}
