"""The table of settings is complete and is generated from the code that reads the environment."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from deploy import docs, docs_settings
from evermuse import setting_table

ROOT = Path(__file__).resolve().parent.parent.parent
# A setting of the object store's own server.
NOT_OURS = {"MINIO_API_CORS_ALLOW_ORIGIN"}
READERS = {
    "text", "flag", "integer", "port", "words", "import_paths", "networks", "choice", "read", "http_url", "database",
    "optional_database", "mail_server", "is_set",
}  # fmt: skip
OURS = re.compile(r"(EVERMUSE|MINIO|DATABASE|REDIS|CELERY)_[A-Z_]+")


def described() -> set[str]:
    return {setting.name for setting in setting_table.rows()}


def read_by_the_code() -> Iterator[str]:
    """Yields the names of settings that the code reads."""
    for package in ("evermuse", "ingest", "lake", "attachments"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    owner, name = node.func.value, node.args[0]
                    is_reader = isinstance(owner, ast.Name) and owner.id == "env" and node.func.attr in READERS
                    if is_reader and isinstance(name, ast.Constant):
                        yield str(name.value)


def test_table_of_settings_is_up_to_date() -> None:
    assert docs_settings.page() == docs_settings.PAGE.read_text(), "run `make docs-settings`"


def test_every_setting_that_is_read_is_described() -> None:
    names = set(read_by_the_code())
    assert len(names) > 40
    assert names - described() == set()


def test_every_setting_that_compose_hands_to_the_product_is_described() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    given = {name for name in re.findall(r"^ +([A-Z_]+): ", text, re.MULTILINE) if OURS.fullmatch(name)}
    assert len(given) > 10
    assert given - described() - NOT_OURS == set()


def test_every_setting_of_the_example_environment_is_described() -> None:
    text = (ROOT / "deploy" / "env.example").read_text()
    given = {name for name in re.findall(r"^#?([A-Z_0-9]+)=", text, re.MULTILINE) if OURS.fullmatch(name)}
    assert len(given) > 20
    # Of the server that compose.yaml starts.
    assert given - described() == {"REDIS_PASSWORD"}


def test_every_setting_that_the_documents_name_exists() -> None:
    # Settings of the client's examples, of secrets in files, and of the benchmarks.
    others = {
        "EVERMUSE_URL", "EVERMUSE_API_KEY", "EVERMUSE_SECRET_KEY_FILE", "EVERMUSE_BENCH_RECORDS",
        "CELERY_BROKER_URL_FILE",
    }  # fmt: skip
    for page in docs.SOURCES.glob("*.md"):
        named = {found[0] for found in OURS.finditer(page.read_text())}
        assert {name for name in named if not name.endswith("_")} - described() - NOT_OURS - others == set(), page.name


def test_description_of_a_setting_is_a_sentence_that_fits_a_table() -> None:
    for setting in setting_table.rows():
        assert setting.help.endswith("."), setting.name
        assert "|" not in setting.kind + setting.help + setting.default + (setting.shown or ""), setting.name
        assert "\n" not in setting.help, setting.name


def test_table_of_settings_shows_no_default_of_the_local_environment() -> None:
    shown = {setting.name: setting.shown for setting in setting_table.rows()}
    for name in ("MINIO_PUBLIC_ENDPOINT", "MINIO_PUBLIC_SECURE", "EVERMUSE_FLOWER_URL"):
        assert shown[name], name
