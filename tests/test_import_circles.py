"""No two modules import each other, neither directly nor by way of others."""

import grimp
import pytest

PACKAGES = ("ingest", "attachments", "lake", "evermuse", "deploy")


def circles(imported: dict[str, set[str]]) -> set[str]:
    """Returns the modules that are in a circle of imports, or between two circles."""
    left = {module: set(others) for module, others in imported.items()}
    while ends := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in ends}
    while ends := left.keys() - set().union(*left.values()):
        left = {module: others for module, others in left.items() if module not in ends}
    return set(left)


def test_no_modules_import_each_other() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    assert circles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == set()


@pytest.mark.parametrize(
    ("imported", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, set()),
        ({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}, {"b", "c"}),
    ],
)
def test_circle_of_imports_is_found(imported: dict[str, set[str]], found: set[str]) -> None:
    assert circles(imported) == found
