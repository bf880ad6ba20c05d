"""The Django apps that are not part of the product. The tests install them, so that their tables exist."""

from pathlib import Path

# The apps in these packages are always installed.
PRODUCT = frozenset({"attachments", "evermuse", "ingest", "lake", "tests"})


def packages(root: Path) -> list[str]:
    """Returns the packages at the top of a repository."""
    return sorted(file.parent.name for file in root.glob("*/__init__.py"))


def added_apps(root: Path) -> list[str]:
    """Returns the import paths of all packages that have an `apps.py` and are not part of the product."""
    added = (root / name for name in packages(root) if name not in PRODUCT)
    found = sorted(file.parent.relative_to(root) for package in added for file in package.rglob("apps.py"))
    return [".".join(path.parts) for path in found]
