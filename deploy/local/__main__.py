"""`make run`: starts the whole stack in the foreground, and prints a `curl` command that works."""

import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local import leftovers, loopback
from deploy.local.child import say
from deploy.local.processes import FLOWER_PORT, WEB_PORT, commands, number
from deploy.local.seaweedfs import SeaweedFS
from deploy.local.servers import PostgreSQL, Server, StartFailed, Valkey
from deploy.local.state import ADMIN, FLOWER, Home, is_free, write_private
from deploy.local.supervisor import Stopped, Supervisor
from evermuse.env import home as evermuse_home

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOWED_NETWORKS = "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS"
OWN_SERVERS = "EVERMUSE_OWN_SERVERS"


def main() -> int:
    """Run until a signal, and return the exit code."""
    home = Home(evermuse_home())
    os.umask(0o077)
    try:
        home.prepare()
        with leftovers.locked(home):
            supervisor = Supervisor(home)
            supervisor.listen()
            return _run(home, supervisor)
    except (StartFailed, OSError) as error:
        print(f"make run: {error}", file=sys.stderr, flush=True)
        return 1


def _run(home: Home, supervisor: Supervisor) -> int:
    failure = None
    try:
        _check_settings(home)
        if cleared := leftovers.clear(home):
            say("stack", f"ended processes that a killed stack left: {', '.join(sorted(set(cleared)))}")
        web_port, flower_port = number(WEB_PORT, 8000), number(FLOWER_PORT, 5555)
        for variable, port in ((WEB_PORT, web_port), (FLOWER_PORT, flower_port)):
            if not is_free(port):
                raise StartFailed(f"port {port} is in use: stop the process that listens there, or set {variable}")
        environment = _start_servers(home, supervisor)
        environment |= {WEB_PORT: str(web_port), FLOWER_PORT: str(flower_port)}
        environment[OWN_SERVERS] = _own_servers(home, web_port, flower_port)
        write_private(home.environment_file, json.dumps(environment))
        key = _migrate(home, supervisor, environment)
        for command in commands(web_port=web_port, flower_port=flower_port, run=str(home.run)):
            supervisor.start_app(command, _whole(environment))
        url = f"http://127.0.0.1:{web_port}"
        supervisor.wait_until("web", lambda: loopback.answers(f"{url}/healthz"))
        _tell(url, flower_port, environment, key)
        supervisor.watch()
    except Stopped:
        pass
    except (StartFailed, OSError) as error:
        failure = error
    supervisor.stop()
    if failure:
        print(f"make run: {failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _check_settings(home: Home) -> None:
    """Report all faulty settings before anything is started. In a process of its own, so that this one stays small."""
    done = subprocess.run(
        [sys.executable, "-c", "from evermuse import serving; serving.require_settings_or_exit('make run')"],
        env={**os.environ, "EVERMUSE_HOME": str(home.root), "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "evermuse.settings"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise StartFailed(f"settings are wrong:\n{done.stderr.strip()}")


def _start_servers(home: Home, supervisor: Supervisor) -> dict[str, str]:
    """Start the servers that the environment does not name, and return the settings of their clients."""
    embedded: list[Server] = []
    downloads = "store"
    if "DATABASE_URL" not in os.environ:
        embedded.append(PostgreSQL(home))
    if "CELERY_BROKER_URL" not in os.environ or "REDIS_URL" not in os.environ:
        embedded.append(Valkey(home))
    if "MINIO_ENDPOINT" not in os.environ:
        embedded.append(SeaweedFS(home))
        # SeaweedFS cannot send X-Content-Type-Options.
        downloads = "web"
    home.choose_ports("postgres", "valkey", *SeaweedFS.PORTS)
    environment = {
        "EVERMUSE_HOME": str(home.root),
        "EVERMUSE_SECRET_KEY": home.secrets()["django"],
        "EVERMUSE_ADMIN_USERNAME": ADMIN,
        "EVERMUSE_ADMIN_PASSWORD": home.secrets()["admin"],
        "EVERMUSE_FLOWER_USERNAME": FLOWER,
        "EVERMUSE_FLOWER_PASSWORD": home.secrets()["flower"],
        "EVERMUSE_DOWNLOAD_URLS": downloads,
    }
    for server in embedded:
        say("stack", f"starting {server.name}")
        server.prepare()
        supervisor.start_server(server)
        environment |= server.environment()
    for server in embedded:
        supervisor.wait_until(server.name, server.is_ready)
    # Keep what the user has set.
    return {name: os.environ.get(name, value) for name, value in environment.items()}


def _own_servers(home: Home, *ports: int) -> str:
    """The addresses that downloads must never dial: every port of this stack, including the object store's inner ones."""
    ours = [f"127.0.0.1:{port}" for port in (*home.ports_in_use.values(), *ports)]
    return ",".join([*ours, os.environ.get(OWN_SERVERS, "")]).strip(",")


def _whole(environment: dict[str, str]) -> dict[str, str]:
    login = f"{environment['EVERMUSE_ADMIN_USERNAME']}:{environment['EVERMUSE_ADMIN_PASSWORD']}"
    return {**os.environ, **environment, "FLOWER_BASIC_AUTH": login, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


def _migrate(home: Home, supervisor: Supervisor, environment: dict[str, str]) -> str:
    """Migrate the database, and make the demo workspace at the first start. Returns the demo key."""
    _manage(environment, "migrate", "--noinput", "--verbosity", "0")
    supervisor.check()
    if not home.key_file.exists():
        made = json.loads(_manage(environment, "bootstrap_demo").splitlines()[-1])
        write_private(home.key_file, made["apiKey"] + "\n")
    supervisor.check()
    return home.key_file.read_text().strip()


def _manage(environment: dict[str, str], *words: str) -> str:
    # In its own session, because Ctrl-C in the terminal must not end a migration half-way.
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        env=_whole(environment),
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise StartFailed(f"manage.py {words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _tell(url: str, flower_port: int, environment: dict[str, str], key: str) -> None:
    record = {
        "_type": "message", "_schema_version": "1.0.0", "_event_at": "2026-01-31T12:00:00Z",
        "_vendor_ids": {"demo": "hello-1"}, "_product_id": "prod-abc", "_project_ids": ["proj-123"],
        "data": {"text": "Hello"},
    }  # fmt: skip
    login = f"{environment['EVERMUSE_ADMIN_USERNAME']} / {environment['EVERMUSE_ADMIN_PASSWORD']}"
    lines = [
        "",
        "Evermuse Ingest is running.",
        "",
        f"  API       {url}/api/v1/ingest",
        f"  Docs      {url}/docs/",
        f"  Admin     {url}/admin/    {login}",
        f"  Flower    http://127.0.0.1:{flower_port}/    {login}",
        f"  API key   {key}    (workspace demo, product prod-abc, projects proj-123 and proj-456)",
        "",
        "Send a first record:",
        "",
        f"curl -sS {url}/api/v1/ingest -H 'x-api-key: {key}' -H 'Content-Type: application/json' -d '{json.dumps(record)}'",
        "",
        f"Attachments are fetched from {_vendors()} ({ALLOWED_NETWORKS}). Ctrl-C stops all processes.",
        "",
    ]
    print("\n".join(lines), flush=True)


def _vendors() -> str:
    networks = os.environ.get(ALLOWED_NETWORKS, "").strip()
    return f"public addresses and {networks}" if networks else "public addresses alone"


if __name__ == "__main__":
    sys.exit(main())
