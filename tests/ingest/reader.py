"""A client that keeps a copy of the lake and continues from the greatest ``updatedAt`` that it has seen."""

import json
from datetime import UTC, datetime

from lake.models import Record
from tests.http_client import NDJSON, ApiClient, lines


class Reader:
    """Reads what has changed since its last read, in pages or as a stream. ``seen``: record id → version."""

    def __init__(self, api: ApiClient, query: str = "") -> None:
        self._api, self._query = api, query
        self.mark = 0
        self.seen: dict[str, int] = {}

    def read(self, *, limit: int = 100) -> set[str]:
        """Reads all new pages; returns the record ids that they list."""
        came: set[str] = set()
        since, cursor = self._since(), ""
        while True:
            page = self._api.get("/api/v1/records", f"limit={limit}{since}{cursor}").json()
            came |= {self._note(row) for row in page["records"]}
            if page["nextCursor"] is None:
                return came
            cursor = f"&cursor={page['nextCursor']}"

    def stream(self) -> set[str]:
        """Reads one NDJSON stream; returns the record ids that it lists."""
        answer = self._api.get("/api/v1/records", self._since().lstrip("&"), accept=NDJSON)
        return {self._note(json.loads(line)) for line in lines(answer)}

    def _since(self) -> str:
        instant = datetime.fromtimestamp(self.mark // 1000, UTC)
        return f"&changed_since={instant:%Y-%m-%dT%H:%M:%S}.{self.mark % 1000:03d}Z{self._query}"

    def _note(self, row: dict[str, int]) -> str:
        record_id, version = str(row["recordId"]), row["version"]
        assert version >= self.seen.get(record_id, 0), "an older version follows a newer one"
        self.seen[record_id] = version
        self.mark = max(self.mark, row["updatedAt"])
        return record_id


def stored(workspace_id: int) -> dict[str, int]:
    """Returns what a reader should have seen in the end."""
    return {row.public_id: row.version for row in Record.objects.filter(workspace_id=workspace_id)}
