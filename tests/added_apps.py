"""The Django apps beside the product's own: those that the tests run with, so that their tables exist."""

from pathlib import Path

# Their apps are always installed.
PRODUCT = frozenset({"attachments", "evermuse", "ingest", "lake", "tests"})


def packages(root: Path) -> list[str]:
    """The packages at the top of a repository."""
    return sorted(file.parent.name for file in root.glob("*/__init__.py"))


def added_apps(root: Path) -> list[str]:
    """The import paths of all packages with an `apps.py` that are no part of the product."""
    added = (root / name for name in packages(root) if name not in PRODUCT)
    found = sorted(file.parent.relative_to(root) for package in added for file in package.rglob("apps.py"))
    return [".".join(path.parts) for path in found]
