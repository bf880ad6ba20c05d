"""Completes the OpenAPI description after drf-spectacular: paths, probes and Retry-After."""

from typing import Any

_PROBES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "/api/v1/schemas/record.json": ("recordSchema", "The envelope as JSON Schema", {"application/schema+json": {}}),
    "/healthz": ("healthz", "The process lives", {"application/json": {}}),
    "/readyz": ("readyz", "Whether the servers answer; 503 without the database", {"application/json": {}}),
    "/metrics": ("metrics", "Prometheus metrics, for this host and allowed networks", {"text/plain": {}}),
}

# Bodies whose unknown keys are refused.
_CLOSED = ("DigestList", "UploadRequest")


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's last hook: corrects the paths and adds the probes, which are not DRF views."""
    result["paths"] = {path.rstrip("/"): operations for path, operations in result["paths"].items()}
    for operations in result["paths"].values():
        for operation in operations.values():
            _describe_retry_after(operation["responses"])
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
    for name in _CLOSED:
        result["components"]["schemas"][name]["additionalProperties"] = False
    for path, (name, summary, content) in _PROBES.items():
        answer = {"description": summary, "content": content}
        operation = {"operationId": name, "summary": summary, "tags": ["operation"], "responses": {"200": answer}}
        if path == "/readyz":
            operation["responses"] = {"200": answer, "503": {**answer, "description": "The database does not answer"}}
        result["paths"][path] = {"get": {**operation, "security": []}}
    return result


def _describe_retry_after(responses: dict[str, dict[str, Any]]) -> None:
    """Describe Retry-After for the answers whose body has retryAfter."""
    for status in ("409", "429", "503"):
        if status in responses:
            text = "Seconds, the same number as retryAfter"
            responses[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": text}}
