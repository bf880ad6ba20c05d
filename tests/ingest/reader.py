"""A client that keeps a copy of the lake: it goes on from the greatest ``updatedAt`` that it has seen."""

import json
from datetime import UTC, datetime

from lake.models import Record
from tests.http_client import NDJSON, ApiClient, lines


class Reader:
    """Reads what has changed since the last time, by pages or as a stream. ``seen``: record id → version."""

    def __init__(self, api: ApiClient, query: str = "") -> None:
        self._api, self._query = api, query
        self.mark = 0
        self.seen: dict[str, int] = {}

    def read(self, *, limit: int = 100) -> set[str]:
        """Go on by pages until there are no more; the ids that came."""
        came: set[str] = set()
        since, cursor = self._since(), ""
        while True:
            page = self._api.get("/api/v1/records", f"limit={limit}{since}{cursor}").json()
            came |= {self._note(row) for row in page["records"]}
            if page["nextCursor"] is None:
                return came
            cursor = f"&cursor={page['nextCursor']}"

    def stream(self) -> set[str]:
        """Go on by one NDJSON stream; the ids that came."""
        answer = self._api.get("/api/v1/records", self._since().lstrip("&"), accept=NDJSON)
        return {self._note(json.loads(line)) for line in lines(answer)}

    def _since(self) -> str:
        instant = datetime.fromtimestamp(self.mark // 1000, UTC)
        return f"&changed_since={instant:%Y-%m-%dT%H:%M:%S}.{self.mark % 1000:03d}Z{self._query}"

    def _note(self, row: dict[str, int]) -> str:
        record_id, version = str(row["recordId"]), row["version"]
        assert version >= self.seen.get(record_id, 0), "a version came after a later one"
        self.seen[record_id] = version
        self.mark = max(self.mark, row["updatedAt"])
        return record_id


def stored(workspace_id: int) -> dict[str, int]:
    """What a reader should have seen in the end."""
    return {row.public_id: row.version for row in Record.objects.filter(workspace_id=workspace_id)}
