"""Slack exports of a range of dates, which cut threads."""

from pathlib import Path
from typing import Any

import pytest

from evermuse.client.convert.slack import PARTIAL
from tests.evermuse.client.convert.running import run
from tests.evermuse.client.convert.test_slack import export, message

ROOT_TS = "1700000000.000100"
LATER = [message(f"reply {n}", f"170017000{n}.0", "U2", thread_ts=ROOT_TS) for n in range(3)]
THREAD_IDS = {"slack_channel_id": "C1", "slack_thread_ts": ROOT_TS}


def root(replies: int) -> dict[str, Any]:
    return message("plan?", ROOT_TS, thread_ts=ROOT_TS, reply_count=replies)


def converted(folder: Path, name: str, *messages: dict[str, Any]) -> Any:
    return run("slack", export(folder / name, {"general/2023-11-16.json": list(messages)}), folder=folder)


@pytest.mark.parametrize(
    ("messages", "part", "why"),
    [
        (LATER, "1700170000.0-1700170002.0", "the first message is missing"),
        (LATER[1:], "1700170001.0-1700170002.0", "the first message is missing"),
        ([root(3), *LATER[:2]], f"{ROOT_TS}-1700170001.0", "1 of 3 replies are missing"),
        ([message("?", ROOT_TS, replies=[{}, {}])], f"{ROOT_TS}-{ROOT_TS}", "2 of 2 replies are missing"),
        ([root(3)], f"{ROOT_TS}-{ROOT_TS}", "3 of 3 replies are missing"),
        (
            [{"type": "message", "subtype": "message_deleted", "ts": "1700180000.0", "deleted_ts": ROOT_TS}],
            "1700180000.0-1700180000.0",
            "the first message is missing",
        ),
    ],
)
def test_part_of_a_thread_does_not_take_the_identity_of_the_thread(
    tmp_path: Path, messages: list[dict[str, Any]], part: str, why: str
) -> None:
    done = converted(tmp_path, "range", *messages)
    (record,) = done.records
    assert record["_vendor_ids"] == {**THREAD_IDS, "slack_thread_part": part}
    assert (record["data"]["partial"], record["data"]["messages"]) == (why, messages)
    assert (record["_thread_id"], record["_event_at"]) == (f"slack:C1:{ROOT_TS}", "2023-11-14T22:13:20Z")
    assert done.writer.notes[PARTIAL] == 1
    assert converted(tmp_path, "again", *messages).lines == done.lines


def test_whole_thread_keeps_its_identity_when_it_grows_or_a_reply_is_deleted(tmp_path: Path) -> None:
    deleted = {"type": "message", "subtype": "message_deleted", "ts": "1700190000.0", "deleted_ts": "1700170002.0"}
    deleted["previous_message"] = LATER[2]  # type: ignore[assignment]
    for number, messages in enumerate(
        ([root(0)], [root(3), *LATER], [root(3), *LATER[:2], deleted], [root(2), *LATER], [message("a", ROOT_TS)])
    ):
        (record,) = converted(tmp_path, str(number), *messages).records
        assert record["_vendor_ids"] == THREAD_IDS
        assert "partial" not in record["data"]
