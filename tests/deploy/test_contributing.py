"""The commands in the guides are those that CI runs."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


def target(name: str) -> list[str]:
    """Returns the commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    [recipe] = re.findall(rf"^{name}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    return [line.strip().replace("$(BIN)/", ".venv/bin/") for line in recipe.splitlines()]


def test_pre_commit_runs_what_make_lint_runs() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == target("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])


def test_every_make_target_that_the_guides_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    guides = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *(ROOT / "evermuse" / "docs").glob("*.md")]
    for guide in guides:
        named = set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"`+[^`]+`+", guide.read_text()))))
        assert named <= targets, guide.name
