"""Only few modules use internals of libraries, and each names the version for which it was written."""

import ast
import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Documented despite their names: Django's model options and managers, named tuples, DRF's request, logging, os.
DOCUMENTED = {"_meta", "_default_manager", "_replace", "_asdict", "_fields", "_request", "_srcfile", "_exit"}
OWN = {"self", "cls"}


def _modules() -> dict[Path, str]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    found = [ROOT / name for name in names if not name.startswith("tests/") and "/migrations/" not in name]
    return {path: path.read_text() for path in found if path.exists()}


MODULES = _modules()


def _written_for(text: str) -> dict[str, str]:
    # Every process of the tests reads this, so most files are not parsed.
    for statement in ast.parse(text).body if "WRITTEN_FOR" in text else []:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "WRITTEN_FOR" for target in statement.targets
        ):
            found: dict[str, str] = ast.literal_eval(statement.value)
            return found
    return {}


ADAPTERS = {path: found for path, text in MODULES.items() if (found := _written_for(text))}
VERSIONS = sorted({pair for found in ADAPTERS.values() for pair in found.items()})


def _foreign_internals(text: str) -> list[str]:
    """Returns attributes that begin with an underscore and do not belong to the module's own objects."""
    module = ast.parse(text)
    own = {node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute) and _is_own(node.value)}
    own |= {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found = []
    for node in ast.walk(module):
        if not isinstance(node, ast.Attribute) or not re.fullmatch(r"_[a-z]\w*", node.attr):
            continue
        is_super = isinstance(node.value, ast.Call) and ast.unparse(node.value) == "super()"
        if node.attr in DOCUMENTED or _is_own(node.value) or (node.attr in own and not is_super):
            continue
        found.append(f"{ast.unparse(node)} (line {node.lineno})")
    return found


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in OWN


@pytest.mark.parametrize(("library", "version"), VERSIONS)
def test_adapter_of_library_internals_matches_the_installed_and_locked_version(library: str, version: str) -> None:
    """After an update of the library, read what changed in the internals that the adapter uses, then raise its version."""
    assert importlib.metadata.version(library) == version
    locked = re.findall(rf"^{library}==(\S+)", (ROOT / "deploy/requirements/run.txt").read_text(), re.MULTILINE)
    assert locked == [version]


def test_only_adapter_modules_use_internals_of_libraries() -> None:
    others = {path: text for path, text in MODULES.items() if not {path, path.parent / "__init__.py"} & ADAPTERS.keys()}
    assert len(others) > 300
    found = {str(path.relative_to(ROOT)): _foreign_internals(text) for path, text in others.items()}
    assert {path: uses for path, uses in found.items() if uses} == {}


def test_search_for_library_internals_finds_a_known_use() -> None:
    code = "client._put_object(1)\nclass A(B):\n    def _mine(self):\n        super()._theirs()\n        other._mine()\n        self._x"
    assert _foreign_internals(code) == ["client._put_object (line 1)", "super()._theirs (line 4)"]
