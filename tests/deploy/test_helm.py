"""The Helm chart: rendered by Helm's own library, checked against the schemas of Kubernetes, compared with golden files.

After a wanted change, write the golden files again with ``GOLDEN=write pytest tests/deploy/test_helm.py``.
"""

import ipaddress
import os
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from django.test import Client

from deploy.local.processes import commands_apart
from evermuse import setting_table
from evermuse.celery import QUEUES
from tests.deploy.test_monitoring import metrics, named

CHART = Path(__file__).resolve().parent.parent.parent / "deploy" / "helm"
GOLDEN = Path(__file__).resolve().parent / "helm"
# The oldest and the newest version whose schemas are at hand.
VERSIONS = ("1.27", "1.33")
SECRETS = dict.fromkeys(
    (
        "EVERMUSE_SECRET_KEY",
        "DATABASE_URL",
        "CELERY_BROKER_URL",
        "REDIS_URL",
        "EVERMUSE_ADMIN_PASSWORD",
        "EVERMUSE_FLOWER_PASSWORD",
    ),
    "from-the-test",
)
DEFAULT: dict[str, Any] = {"secrets": {"values": SECRETS}}
FULL: dict[str, Any] = {
    "secrets": {"existing": "my-secrets"},
    "image": {"digest": "sha256:" + "0" * 64},
    "web": {"autoscaling": {"enabled": True}},
    "landing": {"keda": {"enabled": True}},
    "attachments": {"keda": {"enabled": True}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls", "annotations": {"a": "b"}},
    "monitoring": {"serviceMonitor": True, "prometheusRule": True, "dashboard": True, "labels": {"release": "prom"}},
    "networkPolicy": {"clients": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "only", "operator": "Exists"}],
    "volumes": [{"name": "authority", "secret": {"secretName": "authority"}}],
    "volumeMounts": [{"name": "authority", "mountPath": "/etc/authority", "readOnly": True}],
    "podAnnotations": {"team": "data"},
    "priorityClassName": "high",
    "affinity": {"nodeAffinity": {}},
}
# Resources of operators, whose schemas Kubernetes does not ship.
OF_OPERATORS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    chart = helm_python.Chart.load(CHART)
    files = chart.render(values, name="em", namespace="prod")
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def pods(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod of each Deployment and Job, by component."""
    return {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["spec"]
        for one in resources
        if one["kind"] in ("Deployment", "Job")
    }


def test_chart_passes_the_linter() -> None:
    found = helm_python.lint(CHART, DEFAULT, strict=True)
    assert found["errors"] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [DEFAULT, FULL], ids=["default", "full"])
def test_resources_fit_the_schemas_of_kubernetes(values: dict[str, Any], version: str) -> None:
    for one in rendered(values):
        if one["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(one, version, strict=True)


def _is_copy(resource: dict[str, Any]) -> bool:
    """Whether it holds a file of the repository, which has a test of its own below."""
    name: str = resource["metadata"]["name"]
    return resource["kind"] == "PrometheusRule" or name.endswith("-dashboard")


@pytest.mark.parametrize(("name", "values"), [("default", DEFAULT), ("full", FULL)])
def test_rendered_chart_is_as_in_the_golden_file(name: str, values: dict[str, Any]) -> None:
    resources = [one for one in rendered(values) if not _is_copy(one)]
    text = yaml.safe_dump_all(resources, sort_keys=True, width=1000)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"secrets.values.\w+ must be set, or secrets.existing must name a Secret"),
        ({"secrets": {"values": SECRETS | {"EVERMUSE_FLOWER_PASSWORD": ""}}}, "EVERMUSE_FLOWER_PASSWORD must be set"),
        (DEFAULT | {"monitoring": {"serviceMonitor": True}}, "EVERMUSE_METRICS_TOKEN must be set"),
        (DEFAULT | {"webb": {}}, "'webb' not allowed"),
        (DEFAULT | {"web": {"replicas": 0}}, "minimum: got 0"),
        (DEFAULT | {"settings": {"EVERMUSE_HTTPS": True}}, "got boolean, want string"),
        (DEFAULT | {"terminationGracePeriodSeconds": 50}, "minimum: got 50"),
        (DEFAULT | {"beat": {"replicas": 2}}, "'replicas' not allowed"),
        (DEFAULT | {"imagePullSecrets": ["pull"]}, "imagePullSecrets/0.*got string, want object"),
        (DEFAULT | {"image": {"repository": "registry.example:5000/ingest:1.0.0"}}, "image/repository.*does not match"),
        (DEFAULT | {"settings": {"PGSSLMODE": "require"}}, "PGSSLMODE"),
        (DEFAULT | {"listen": "10.0.0.1"}, "listen.*must be one of"),
        (
            {"secrets": {"existing": "mine", "values": SECRETS}},
            r"secrets.values.\w+ would be ignored, because secrets.existing",
        ),
        (
            DEFAULT | {"web": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
            "web.autoscaling needs web.resources.requests.cpu",
        ),
        (
            DEFAULT | {"web": {"autoscaling": {"enabled": True, "minReplicas": 20}}},
            "web.autoscaling.minReplicas must not be greater",
        ),
        (
            DEFAULT | {"landing": {"keda": {"enabled": True, "minReplicas": 30}}},
            "landing.keda.minReplicas must not be greater",
        ),
        (
            DEFAULT | {"ingress": {"enabled": True, "host": "other.example"}},
            r"EVERMUSE_ALLOWED_HOSTS must contain ingress.host \(other.example\)",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm_python.HelmError, match=message):
        rendered(values)


def test_host_of_the_ingress_may_be_allowed_by_its_domain_or_by_any() -> None:
    for allowed in ("a.example, in.example", ".example", "*"):
        rendered(
            DEFAULT
            | {"ingress": {"enabled": True, "host": "in.example"}, "settings": {"EVERMUSE_ALLOWED_HOSTS": allowed}}
        )


def test_pods_use_the_default_account_if_the_chart_makes_none() -> None:
    for account, name in (
        ({"create": False}, "default"),
        ({"create": False, "name": "mine"}, "mine"),
        ({}, "em-evermuse-ingest"),
    ):
        found = pods(rendered(DEFAULT | {"serviceAccount": account}))
        assert {pod["serviceAccountName"] for pod in found.values()} == {name}


def test_resources_may_be_left_out_and_the_image_may_come_from_a_registry_with_a_port() -> None:
    values = DEFAULT | {"image": {"repository": "registry.example:5000/team/ingest"}, "web": {"resources": None}}
    for one in rendered(values):
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)


def test_cluster_may_have_ipv6_alone_and_dns_on_another_port() -> None:
    found = rendered(DEFAULT | {"listen": "::", "networkPolicy": {"dnsPorts": [5353], "servers": ["fd00::/8"]}})
    commands = {name: pod["containers"][0]["command"] for name, pod in pods(found).items()}
    assert commands["web"][commands["web"].index("--host") + 1] == "::"
    assert "--address=::" in commands["flower"]
    everyone = next(
        one["spec"]
        for one in found
        if one["metadata"]["name"] == "em-evermuse-ingest" and one["kind"] == "NetworkPolicy"
    )
    assert everyone["egress"][0]["ports"] == [{"protocol": name, "port": 5353} for name in ("UDP", "TCP")]


def test_pods_run_the_commands_of_make_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landing and maintenance are processes of their own, as in Compose; everything else is the same."""
    for name in ("EVERMUSE_WEB_WORKERS", "EVERMUSE_LANDING_CONCURRENCY"):
        monkeypatch.setenv(name, "2")
    local = {
        one.name: one.words[1:] for one in commands_apart(web_port=8000, flower_port=5555, run="/var/lib/evermuse")
    }
    found = {name: pod["containers"][0]["command"][1:] for name, pod in pods(rendered(DEFAULT)).items()}
    assert found["web"] == [word.replace("127.0.0.1", "0.0.0.0") for word in local["web"]]
    assert found["beat"] == local["beat"]
    for queue in QUEUES:
        # The words are in another order.
        assert sorted(found[queue]) == sorted(local[f"worker-{queue}"])


def test_every_pod_runs_without_privileges_and_has_probes() -> None:
    found = pods(rendered(FULL))
    assert set(found) == {"web", "landing", "maintenance", "attachments", "beat", "flower", "migrate"}
    for name, pod in found.items():
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["terminationGracePeriodSeconds"] > 45
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
        assert ("livenessProbe" in container) == (name != "migrate"), name
    assert found["web"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz?role=web"


def test_only_pods_that_download_or_send_alerts_reach_the_internet() -> None:
    policies = [one["spec"] for one in rendered(DEFAULT) if one["kind"] == "NetworkPolicy"]
    open_ones = [
        one
        for one in policies
        for rule in one.get("egress", [])
        for peer in rule.get("to", [])
        if peer["ipBlock"]["cidr"] in ("0.0.0.0/0", "::/0")
    ]
    policy, same = open_ones
    assert policy is same
    [expression] = policy["podSelector"]["matchExpressions"]
    assert expression["values"] == ["attachments", "maintenance"]
    [rule] = policy["egress"]
    by_family = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in rule["to"]}
    assert "169.254.0.0/16" in by_family["0.0.0.0/0"]
    assert "fc00::/7" in by_family["::/0"]
    # Kubernetes refuses networks of the other family.
    for cidr, excepted in by_family.items():
        outer = ipaddress.ip_network(cidr)
        assert all(ipaddress.ip_network(one).version == outer.version for one in excepted)


def test_settings_of_the_chart_exist(db: None) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values["settings"]) | set(values["secrets"]["values"]) <= setting_table.names()


def test_scaling_follows_existing_metrics(db: None, client: Client) -> None:
    queries = [
        trigger["metadata"]["query"]
        for one in rendered(FULL)
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
    ]
    asked = set().union(*map(named, queries))
    assert len(queries) == len(asked) == 2
    assert asked <= metrics(client)


def test_rules_and_dashboard_of_the_chart_are_those_of_the_repository() -> None:
    found = {one["kind"]: one for one in rendered(FULL)}
    assert found["PrometheusRule"]["spec"] == yaml.safe_load((CHART.parent / "prometheus" / "rules.yaml").read_text())
    [dashboard] = [one for one in rendered(FULL) if one["metadata"]["name"].endswith("-dashboard")]
    assert dashboard["data"]["evermuse.json"] == (CHART.parent / "grafana" / "evermuse.json").read_text()
