"""The page on errors names every code that the product can send, and no other."""

import ast
import re
from collections.abc import Iterator

from deploy.docs import SOURCES
from ingest.problems import explanations
from lake import field_errors

ROOT = SOURCES.parent.parent
# The position of the code among the arguments of each function that makes an error.
MAKERS = {"Refusal": 1, "refuse": 1, "final": 0, "transient": 0, "DownloadFailure": 0, "FieldError": 0, "_refused": 1}
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
# Codes that are composed at run time: `HTTP_{status}`, and the mismatch of each declared checksum.
COMPOSED = {"SHA1_MISMATCH", "MD5_MISMATCH"}


def made_by_the_code() -> Iterator[str]:
    for package in ("evermuse", "ingest", "lake", "attachments"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                    place = MAKERS.get(name, -1)
                    if 0 <= place < len(node.args):
                        yield from _constant(node.args[place])
                # SQL statements that fail a file, and answers written out where Django is not available.
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from re.findall(r"error_code = '([A-Z_]+)'", node.value)
                if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                    yield from re.findall(r'"error": "([A-Z_]+)"', node.value.decode(errors="replace"))


def _constant(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
        yield node.value


def documented() -> set[str]:
    """Returns the codes in the first columns of the tables."""
    found: set[str] = set()
    for line in (SOURCES / "errors.md").read_text().splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for cell in cells[:2]:
                if cell.startswith("`"):
                    found.update(code for code in re.findall(r"`([^`]+)`", cell) if CODE.fullmatch(code))
    return found


def known() -> set[str]:
    of_records = {value for name, value in vars(field_errors).items() if name.isupper() and value == name}
    return set(made_by_the_code()) | COMPOSED | of_records


def test_error_page_lists_every_code_of_the_product() -> None:
    codes = known()
    assert {"VALIDATION_ERROR", "RATE_LIMITED", "BLOCKED_ADDRESS", "UNKNOWN_PRODUCT"} <= codes
    assert codes - documented() == set()


def explained() -> set[str]:
    """Returns the codes that the inbox explains. It includes those of earlier versions, because their rows remain."""
    return set(explanations._RECORDS) | set(explanations._FILES)


def test_error_page_lists_every_code_that_the_inbox_explains() -> None:
    assert explained() - documented() == set()


def test_error_page_names_existing_codes_only() -> None:
    answers = {code for code in documented() if not code.startswith("HTTP_")}
    assert answers - known() - explained() == set()
