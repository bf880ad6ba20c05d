"""SQL keeps to the layers of the import contract: a statement names tables of its own layer or of lower ones."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
# From top to bottom, as in the import contract of pyproject.toml. The longest matching prefix decides a module's layer.
LAYERS = [
    ("ingest.admin", "ingest.api"),
    ("ingest.problems",),
    ("ingest.activity",),
    ("ingest", "ingest.pipeline", "ingest.admission", "ingest.clients"),
    ("attachments",),
    ("lake",),
    ("evermuse",),
]
_HEIGHTS = {name: -height for height, names in enumerate(LAYERS) for name in names}
_IS_SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|LOCK TABLE|JOIN|FROM)\s", re.ASCII)


def height(module: str) -> int:
    """Returns the height of a module's layer; higher layers have greater numbers."""
    names = [name for name in _HEIGHTS if module == name or module.startswith(f"{name}.")]
    return _HEIGHTS[max(names, key=len)]


def tables() -> dict[str, int]:
    """Returns the height of each table of the product, by the module of its model."""
    return {
        model._meta.db_table: height(model.__module__)
        for model in apps.get_models(include_auto_created=True)
        if model.__module__.partition(".")[0] in {"ingest", "attachments", "lake", "evermuse"}
    }


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the strings of a module that look like SQL, with their lines. Docstrings are left out."""
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and _IS_SQL.search(node.value):  # type: ignore[attr-defined]
            yield node.lineno, node.value  # type: ignore[attr-defined]


def violations(module: str, source: str) -> list[str]:
    """Returns each statement of a module that names a table of a higher layer."""
    known = tables()
    mine = height(module)
    return [
        f"{module}:{line} names {word}"
        for line, text in texts(ast.parse(source))
        for word in sorted(set(re.findall(r"\w+", text)))
        if known.get(word, mine) > mine
    ]


def modules() -> list[tuple[str, Path]]:
    """Returns the product's modules and their files, without migrations, which may name any table."""
    files = [
        path for app in ("ingest", "attachments", "lake", "evermuse") for path in sorted((ROOT / app).rglob("*.py"))
    ]
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in files
        if "migrations" not in path.parts
    ]


def test_no_statement_names_a_table_of_a_higher_layer() -> None:
    found = [one for module, path in modules() for one in violations(module, path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "table"),
    [
        ("lake.frames", "ingest_batch"),
        ("lake.index", "attachments_attachment"),
        ("attachments.sql.claims", "ingest_workspace"),
        ("ingest.sql", "problems_problem"),
        ("ingest.pipeline.claims", "activity_rollup"),
        ("ingest.activity.sql", "problems_job"),
        ("evermuse.heartbeat", "lake_record"),
    ],
)
def test_statement_that_names_a_table_of_a_higher_layer_is_reported(module: str, table: str) -> None:
    for statement in (f"SELECT 1 FROM {table} WHERE true", f"DELETE FROM x USING {table} AS t"):
        assert violations(module, f'"""About {table}."""\nQ = """{statement}"""') == [f"{module}:2 names {table}"]
    assert violations(module, f'F = f"SELECT {{1}} FROM {table}"') == [f"{module}:1 names {table}"]


def test_statement_may_name_tables_of_its_own_and_of_lower_layers() -> None:
    assert (
        violations("ingest.problems.sql", 'Q = "SELECT 1 FROM ingest_batch JOIN problems_problem JOIN lake_record"')
        == []
    )


def test_every_table_and_every_module_has_a_layer() -> None:
    assert {
        "ingest_batch",
        "lake_payload",
        "attachments_attachment",
        "problems_job",
        "activity_rollup",
    } <= tables().keys()
    assert all(height(module) <= 0 for module, _ in modules())
