"""deploy/prometheus and deploy/grafana are well-formed and use existing metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from tests import anchors

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DOCUMENTS = DEPLOY.parent / "evermuse" / "docs"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def queries() -> list[str]:
    return [target["expr"] for path in DASHBOARDS for panel in panels(path) for target in panel["targets"]]


def metrics(client: Client) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").content.decode(), re.M))


def named(text: str) -> set[str]:
    return set(re.findall(r"\bevermuse_\w+", text))


def test_alerts_and_dashboards_use_existing_metrics_only(db: None, client: Client) -> None:
    asked = set().union(*(named(one["expr"]) for one in alerts()), *map(named, queries()))
    assert len(asked) > 15
    assert asked <= metrics(client)


def test_every_metric_appears_on_a_dashboard(db: None, client: Client) -> None:
    assert metrics(client) <= set().union(*map(named, queries()))


def test_every_alert_has_a_severity_and_a_summary(db: None) -> None:
    found = alerts()
    assert len({one["alert"] for one in found}) == len(found)
    for one in found:
        assert one["labels"]["severity"] in {"warning", "critical"}, one["alert"]
        assert one["annotations"]["summary"], one["alert"]
        assert re.fullmatch(r"\d+m", one["for"]), one["alert"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_panels_of_a_dashboard_have_unique_ids_and_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in panels(path)]
    assert len(set(ids)) == len(ids)
    for panel in panels(path):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {one["name"] for one in json.loads(path.read_text())["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels(path)))) - {"__rate_interval"}
    assert used == variables


def test_example_of_prometheus_scrapes_metrics_and_loads_the_rules() -> None:
    found = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    assert found["rule_files"] == [RULES.name]
    assert [one["metrics_path"] for one in found["scrape_configs"]] == ["/metrics"]


def test_every_alert_names_a_section_of_the_documents_that_exists() -> None:
    for rule in alerts():
        assert anchors.exists(rule["annotations"]["runbook"]), rule["alert"]


promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")


def run(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_accepts_rules_and_configuration_and_passes_their_tests() -> None:
    run("check", "rules", RULES)
    run("check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
    run("test", "rules", DEPLOY / "prometheus" / "rules_test.yaml")


@promtool
def test_promtool_parses_every_query_of_the_dashboards(tmp_path: Path) -> None:
    def filled(query: str) -> str:
        return query.replace("$__rate_interval", "1m").replace("$workspace", ".*")

    rules = [{"record": f"panel:{n}", "expr": filled(query)} for n, query in enumerate(queries())]
    made = tmp_path / "queries.yaml"
    made.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("check", "rules", made)
