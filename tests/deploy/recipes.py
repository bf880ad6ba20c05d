"""The recipes of the contributing guide: its patches, applied to a copy of the repository."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.added_apps import packages

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = ROOT / ".github" / "CONTRIBUTING.md"
COPIED_FILES = ("manage.py", "pyproject.toml")
_PATCH = re.compile(
    r"^\*\*(?P<title>[^*]+)\*\*[^`]*?(?:`[^`]*`[^`]*?)*\n\n```diff\n(?P<lines>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Recipe:
    """A patch of the file at ``path``."""

    title: str
    path: str
    is_new: bool
    lines: list[str]

    def apply(self, root: Path) -> None:
        """Changes the file. Raises ValueError unless the text that the patch replaces occurs exactly once."""
        target = root / self.path
        new = "".join(f"{line[1:]}\n" for line in self.lines if line[:1] in "+ ")
        if self.is_new:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(new)
            return
        old = "".join(f"{line[1:]}\n" for line in self.lines if line[:1] in "- ")
        text = target.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{self.path} holds {old!r} {text.count(old)} times")
        target.write_text(text.replace(old, new))


def recipes() -> list[Recipe]:
    """Returns all recipes of the guide in order."""
    found: list[Recipe] = []
    for match in _PATCH.finditer(GUIDE.read_text()):
        first, *lines = match["lines"].splitlines()
        mark, path = first.split(" ", 1)
        found.append(Recipe(match["title"], path, mark == "+++", lines))
    return found


def copy(to: Path) -> None:
    """Copies the repository's code, with all packages, including added ones."""
    for name in packages(ROOT):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "_site"))
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, to / name)
