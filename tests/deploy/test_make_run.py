"""`make run` as a newcomer uses it: it is started, partly killed, stopped and started again."""

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from deploy.local.leftovers import MARK, living
from deploy.local.state import Home, is_free
from evermuse.priority import NICENESS
from tests.journeys.stack import lives, until

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = {"web", "worker-landing", "worker-attachments", "beat", "flower", "postgres", "valkey", "seaweedfs"}


def free_port() -> int:
    return next(
        port for port in iter(lambda: 33_000 + int.from_bytes(os.urandom(2), "big") % 2_000, 0) if is_free(port)
    )


class Run:
    """One `python -m deploy.local` (what `make run` executes) with its output."""

    def __init__(self, home: Path, **changes: str) -> None:
        self.home = home
        self.environment = (
            {
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("EVERMUSE_", "MINIO_"))
                and name not in {"DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL"}
            }
            | {"EVERMUSE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
            | changes
        )
        self.url = f"http://127.0.0.1:{self.environment.get('EVERMUSE_PORT')}"
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.lines.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local"],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    def started(self) -> None:
        self.start()
        until(lambda: self.told("curl -sS") or self.ended(), "make run prints its curl line", seconds=180)
        assert not self.ended(), "\n".join(self.lines)

    def told(self, text: str) -> str:
        return next((line for line in list(self.lines) if text in line), "")

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(timeout=180)

    def to_the_end(self) -> tuple[int, str]:
        """Returns the exit code and all output of a start that must fail."""
        self.start()
        assert self.process
        code = self.process.wait(timeout=120)
        until(lambda: self.lines, "the error is printed")
        return code, "\n".join(self.lines)

    def services(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "manage.py", "services"], cwd=ROOT, env=self.environment, capture_output=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def pids(self) -> dict[str, int]:
        """Returns what `services` would, without its start."""
        return {str(one["name"]): int(one["pid"]) for one in living(Home(self.home))}

    def alive(self) -> list[int]:
        """Returns all processes of this home, including PostgreSQL's children, which hide their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.home) or str(self.home) in " ".join(process.cmdline()):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


def stops_with_all_its_processes(stack: Run, how: signal.Signals) -> None:
    before = stack.alive()
    assert len(before) >= len(NAMES)
    assert stack.stop(how) == 0
    assert stack.alive() == []
    assert [pid for pid in before if lives(pid)] == []
    assert stack.pids() == {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("run") / "kept" / "home"
    home.parent.mkdir(mode=0o700)
    run = Run(home, EVERMUSE_PORT=str(free_port()), EVERMUSE_FLOWER_PORT=str(free_port()))
    yield run
    if run.process and not run.ended():
        # Ctrl-C, once at the end, because each further start takes many seconds.
        stops_with_all_its_processes(run, signal.SIGINT)


@pytest.fixture
def stack(run: Run) -> Run:
    """The running stack."""
    if run.process is None or run.ended():
        run.started()
    until(lambda: run.pids().keys() == NAMES, "every process runs")
    return run


def curl(run: Run) -> Any:
    """Sends the printed curl line by a small client; requests over the rate limit are repeated."""
    words = shlex.split(run.told("curl -sS"))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")

    def ask() -> requests.Response:
        return requests.post(words[2], headers=headers, data=words[words.index("-d") + 1], timeout=60)

    answer = ask()
    while answer.status_code == 429:
        time.sleep(int(answer.headers["Retry-After"]))
        answer = ask()
    assert answer.status_code == 202, answer.text
    return answer.json()


def completes(run: Run, batch_id: str) -> None:
    """Waits until a batch of the demo's key is COMPLETE."""
    key = (run.home / "demo-api-key").read_text().strip()
    url = f"{run.url}/api/v1/ingest/batches/{batch_id}"
    until(
        lambda: requests.get(url, headers={"x-api-key": key}, timeout=60).json().get("status") == "COMPLETE",
        f"{batch_id} completes",
    )


def test_printed_curl_line_sends_a_batch_that_completes(stack: Run) -> None:
    answer = curl(stack)
    assert answer["acceptedCount"] == 1
    key = (stack.home / "demo-api-key").read_text().strip()
    assert key in stack.told("API key")
    completes(stack, answer["batchId"])


def test_services_command_lists_every_server_login_and_process(stack: Run) -> None:
    found = stack.services()
    assert set(found) == {"web", "flower", "admin", "database", "broker", "objectStore", "processes"}
    assert found["web"] == stack.url
    assert {one["name"]: one["pid"] for one in found["processes"]} == stack.pids()
    assert stack.pids().keys() == NAMES
    assert set(found["admin"]) == {"url", "username", "password"}
    assert set(found["objectStore"]) == {"endpoint", "accessKey", "secretKey", "bucket"}
    login = (found["admin"]["username"], found["admin"]["password"])
    assert requests.get(found["flower"], timeout=60).status_code == 401
    assert requests.get(found["flower"], auth=login, timeout=60).status_code == 200
    assert requests.get(found["admin"]["url"], timeout=60).url.startswith(f"{found['web']}/admin/login/")


def test_workers_and_store_run_at_lower_priority_than_web(stack: Run) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = dict.fromkeys(NAMES, ours)
    wanted |= dict.fromkeys(("worker-landing", "worker-attachments", "seaweedfs"), min(ours + NICENESS, 19))

    def urgency() -> dict[str, int]:
        return {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in stack.pids().items()}

    # A process lowers its priority a moment after it has started.
    until(lambda: urgency() == wanted, "each process has its priority")


def test_flower_requires_its_login_on_every_page_and_links_to_the_admin(stack: Run) -> None:
    found = stack.services()
    login = (found["admin"]["username"], found["admin"]["password"])
    for path in ("/", "/tasks", "/broker", "/metrics", "/api/workers"):
        assert requests.get(found["flower"] + path, timeout=60).status_code == 401, path
    assert requests.get(found["flower"] + "/metrics", auth=login, timeout=60).status_code == 200
    for path in ("/", "/tasks", "/broker"):
        assert f'href="{found["admin"]["url"]}"' in requests.get(found["flower"] + path, auth=login, timeout=60).text

    def broker() -> str:
        requests.get(found["flower"] + "/workers?refresh=1", auth=login, timeout=60)
        return requests.get(found["flower"] + "/broker", auth=login, timeout=60).text

    until(lambda: all(queue in broker() for queue in ("landing", "attachments", "maintenance")), "all queues are shown")


def test_secret_files_are_private_and_parent_directories_keep_their_modes(stack: Run) -> None:
    for name in ("demo-api-key", "run/secrets.json", "run/environment.json"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(stack.home.parent.stat().st_mode) == 0o700


def test_log_of_the_store_goes_to_a_private_file(stack: Run) -> None:
    log = stack.home / "run" / "seaweedfs.log"
    assert log.stat().st_size > 0
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    said = [line.partition("| ")[2] for line in list(stack.lines) if line.startswith("seaweedfs")]
    assert f"its log goes to {log}" in said
    assert all(line.startswith(("its log goes to", "ended (")) for line in said), said


def test_second_stack_in_the_same_home_does_not_start(stack: Run) -> None:
    code, said = Run(stack.home, EVERMUSE_PORT=str(free_port())).to_the_end()
    assert code == 1
    assert f"already running in EVERMUSE_HOME={stack.home}" in said
    assert requests.get(f"{stack.url}/healthz", timeout=60).status_code == 200


@pytest.mark.parametrize("name", sorted(NAMES))
def test_killed_process_of_the_stack_is_restarted_and_batches_complete(stack: Run, name: str) -> None:
    pid = stack.pids()[name]
    os.kill(pid, signal.SIGKILL)
    until(lambda: stack.pids().get(name) not in (None, pid), f"{name} runs again")
    if name == "flower":
        until(lambda: not is_free(int(stack.environment["EVERMUSE_FLOWER_PORT"])), "Flower listens")
        return

    def is_whole() -> bool:
        try:
            return bool(requests.get(f"{stack.url}/readyz", timeout=10).json()["status"] == "ok")
        except requests.RequestException:
            return False

    until(is_whole, "every server of the stack answers")
    answer = curl(stack)
    completes(stack, answer["batchId"])


def test_signal_stops_every_process_and_the_next_start_keeps_the_data(stack: Run) -> None:
    key = (stack.home / "demo-api-key").read_text()
    earlier = curl(stack)["batchId"]
    stops_with_all_its_processes(stack, signal.SIGTERM)
    stack.started()
    assert (stack.home / "demo-api-key").read_text() == key
    completes(stack, earlier)
    assert curl(stack)["batchId"] > earlier


def test_next_start_ends_processes_of_a_killed_supervisor(stack: Run) -> None:
    assert stack.process
    left = stack.alive()
    stack.process.kill()
    stack.process.wait()
    assert len([pid for pid in left if lives(pid)]) > len(NAMES)
    stack.started()
    assert stack.told("ended processes that a killed stack left")
    assert [pid for pid in left if lives(pid)] == []
    assert curl(stack)["acceptedCount"] == 1


@pytest.mark.parametrize("variable", ["EVERMUSE_PORT", "EVERMUSE_FLOWER_PORT"])
def test_error_of_an_occupied_port_names_its_variable(tmp_path: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"EVERMUSE_PORT": str(free_port()), "EVERMUSE_FLOWER_PORT": str(free_port())} | {variable: str(port)}
        run = Run(tmp_path, **ports)
        code, said = run.to_the_end()
    assert code == 1
    assert f"port {port} is in use: stop the process that listens there, or set {variable}" in said
    assert run.alive() == []


def test_invalid_settings_end_make_run_before_anything_starts(tmp_path: Path) -> None:
    code, said = Run(tmp_path, EVERMUSE_PORT="http", EVERMUSE_WEB_WORKERS="0").to_the_end()
    assert code == 1
    assert "evermuse: EVERMUSE_PORT (4 characters: letters) must be a whole number from 1 to 65535" in said
    assert "evermuse: EVERMUSE_WEB_WORKERS (1 character: digits) must be a whole number from 1 to 1024" in said
    assert "starting postgres" not in said


def demo(home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.demo"],
        cwd=ROOT, env={**os.environ, "EVERMUSE_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_demo_prints_a_table_of_batch_statuses(stack: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.demo"],
        cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("…")]
    assert len(rows) == 14
    assert sum("COMPLETE" in row for row in rows) == 13
    assert "FAILED" in next(row for row in rows if "all" in row)
    # Batches that repeat records wait for the first ones, so that the table shows what repeating does.
    assert next(row for row in rows if "again" in row)[-2:] == ["40", "identical"]
    assert next(row for row in rows if "changed" in row)[-4:] == ["25", "identical,", "15", "updated"]
    assert rows[-1][-3:] == ["10", "of", "11"]


def test_demo_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "start one with `make run`" in " ".join(done.stdout.split())
