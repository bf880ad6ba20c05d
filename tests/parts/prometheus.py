"""Prometheus with the files of deploy/prometheus, for one web process."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

from deploy.local.state import free_port

SHIPPED = Path(__file__).resolve().parent.parent.parent / "deploy" / "prometheus"
PROGRAM = os.environ.get("PROMETHEUS") or shutil.which("prometheus") or ""
MISSING = "prometheus is not installed: apt-get install prometheus, or name the program in PROMETHEUS"


class Prometheus:
    """A running Prometheus. ``target``: host and port of the web process. ``root``: its directory."""

    def __init__(self, target: str, root: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        configuration = yaml.safe_load((SHIPPED / "prometheus.yaml").read_text())
        # /metrics waits for up to two seconds for servers that do not answer.
        configuration["global"] = {"scrape_interval": "5s", "evaluation_interval": "1s"}
        [job] = configuration["scrape_configs"]
        job["scrape_timeout"] = "5s"
        job["static_configs"] = [{"targets": [target]}]
        [rules] = configuration["rule_files"]
        # The test of the rules themselves shows how long a fault must last. This test does not wait for that.
        at_once = re.sub(r"(?m)^( +)for: \d+m$", r"\1for: 0s", (SHIPPED / rules).read_text())
        (root / rules).write_text(at_once)
        (root / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        command = [
            PROGRAM, f"--config.file={root / 'prometheus.yaml'}", f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn",
        ]  # fmt: skip
        self._log = root / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def is_ready(self) -> bool:
        """Whether it has scraped the web process and evaluated all rules without an error."""
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.value('up{job="evermuse"}') == 1 and {rule["health"] for rule in self._rules()} == {"ok"}
        except requests.RequestException:  # it is still starting
            return False

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its HTTP API."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=query, timeout=10)
        if not answer.ok:
            raise requests.HTTPError(answer.text, response=answer)
        return answer.json()["data"]

    def value(self, query: str) -> float | None:
        """The value of a query with one result."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {rule["name"] for rule in self._rules() if rule["state"] == "firing"}

    def _rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
