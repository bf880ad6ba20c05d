"""The client installs from a wheel, into an environment that has nothing of the server."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
SERVER_PACKAGES = ("django", "celery", "psycopg", "redis", "minio", "requests", "yyjson", "pydantic")
PROBE = f"""
import importlib.util, sys
import evermuse, evermuse.client, evermuse.client.commands
from lake import envelope_errors, identity, normalization
assert "site-packages" in evermuse.client.__file__, evermuse.client.__file__
found = [name for name in {SERVER_PACKAGES!r} if importlib.util.find_spec(name) or name in sys.modules]
assert not found, found
assert all(getattr(evermuse.client, name).__name__ == name for name in evermuse.client.__all__)
deep = b'[' * 50_000 + b']' * 50_000
assert [error.pointer for error in envelope_errors.explain(deep).errors] == [""]
"""


def run(*words: object, cwd: Path, **options: object) -> str:
    done = subprocess.run([str(w) for w in words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and its extra `client` alone."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", target, ROOT, cwd=target)
    (wheel,) = target.glob("evermuse_ingest-*.whl")
    venv.create(target / "venv")
    programs = target / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    # Its own pip would first have to be installed, and compiling all modules takes longer than what the tests import.
    run(*pip, "--python", programs / "python", "install", "--quiet", "--no-compile", f"{wheel}[client]", cwd=target)
    return programs


def test_wheel_with_extra_client_imports_without_any_package_of_the_server(installed: Path, tmp_path: Path) -> None:
    run(installed / "python", "-c", PROBE, cwd=tmp_path)


def test_installed_command_explains_itself(installed: Path, tmp_path: Path) -> None:
    assert "Usage" in run(installed / "evermuse", "--help", cwd=tmp_path)


def test_importing_the_project_package_loads_neither_django_nor_celery() -> None:
    probe = (
        "import evermuse, sys; assert not {'django', 'celery'} & sys.modules.keys(); print(evermuse.celery_app.main)"
    )
    assert run(sys.executable, "-c", probe, cwd=ROOT).strip() == "evermuse"


def test_command_imports_without_garbage_collections(tmp_path: Path) -> None:
    probe = """
import atexit, gc, sys
runs = []
from evermuse.client.main import main
assert "httpx" not in sys.modules
gc.callbacks.append(lambda phase, info: runs.append(phase))
sys.argv[1:] = ["--version"]
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000, len(runs) < 10))
main()
"""
    done = run(sys.executable, "-c", probe, cwd=ROOT)
    assert done.splitlines()[-1] == "True True True"


def test_interrupt_while_the_command_is_imported_ends_with_its_exit_code(tmp_path: Path) -> None:
    package = tmp_path / "httpx"
    package.mkdir()
    (package / "__init__.py").write_text("raise KeyboardInterrupt")
    probe = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from evermuse.client.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (4, "error: interrupted\n")
