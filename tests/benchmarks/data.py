"""Dialogues of about 1.6 KB with unique vendor ids, which compress about sixfold, like real ones."""

import itertools
import json
import random

_numbers = itertools.count(1)
_choices = random.Random(20260101)
_OPENINGS = (
    "Could you look into {thing}?", "I am calling about {thing}.", "There is a problem with {thing} since {day}.",
    "Who takes care of {thing} in {place}?", "We never received {thing}.", "Please cancel {thing}.",
)  # fmt: skip
_ANSWERS = (
    "Thanks for calling! Do you mean {thing} of {day}?", "I see {thing} here, it was sent to {place} on {day}.",
    "Your request is confirmed: {thing}, {place}, {day} at {time}.", "One moment, I ask our colleagues in {place}.",
    "Their phone number is {number}.", "That comes to {number} in total, payable until {day}.",
)  # fmt: skip
_QUESTIONS = (
    "And what about {place}?", "Could we move it to {day}, around {time}?", "What is the number of {thing}?",
    "Is there anything near {place} that is open at {time}?", "Yes, thanks.", "No, that is all for {day}. Thank you!",
)  # fmt: skip
_THINGS = (
    "the invoice of last month", "our subscription", "order {number}", "the broken headset", "the second licence",
    "the export of our contacts", "the table for {digit} people", "my flight to {place}", "the refund of {number}",
)  # fmt: skip
_SYLLABLES = ("ka", "lo", "mi", "ster", "an", "vel", "bro", "tin", "es", "dor", "pal", "gu", "rich", "sen", "ham", "o")
_DAYS = ("Monday", "Tuesday", "the 3rd of March", "next Friday", "tomorrow", "the end of the month")


def _say(kind: tuple[str, ...]) -> str:
    pick = _choices.choice
    thing = pick(_THINGS).format(number=_number(), digit=_choices.randint(2, 9), place=_place())
    time = f"{_choices.randint(8, 19)}:{_choices.randint(0, 59):02d}"
    return pick(kind).format(thing=thing, place=_place(), day=pick(_DAYS), time=time, number=_number())


def _place() -> str:
    """A name that is in no dictionary, like most names."""
    return "".join(_choices.choices(_SYLLABLES, k=6)).title()


def _number() -> str:
    return f"{_choices.randint(200, 999)}-{_choices.randint(0, 9999):04d}"


def _dialogue() -> str:
    messages = [{"sender": "user", "text": _say(_OPENINGS)}]
    while sum(len(message["text"]) for message in messages) < 750:
        messages.append({"sender": "system", "text": f"{_say(_ANSWERS)} Reference {_choices.getrandbits(40):x}."})
        messages.append({"sender": "user", "text": _say(_QUESTIONS)})
    envelope = {
        "_type": "conversation",
        "_schema_version": "1.0.0",
        "_event_at": "2026-01-01T00:00:00Z",
        "_nature": "evidence",
        "_vendor_ids": {"conversation_id": "ID"},
        "_product_id": "prod-abc",
        "_project_ids": ["proj-123"],
        "_thread_id": "ID",
        "_participants": [{"id": "system", "role": "internal"}, {"id": "user", "role": "external"}],
        "_tags": ["bench"],
        "data": {"messages": messages, "ID": 1},
    }
    return json.dumps(envelope, separators=(",", ":"))


# As many texts as a large batch has records, so that no text occurs twice in a batch.
_DIALOGUES = itertools.cycle([_dialogue() for _ in range(1000)])


def record() -> bytes:
    """Returns the JSON of one record."""
    return next(_DIALOGUES).replace("ID", f"r{next(_numbers):012d}").encode()


def ndjson(count: int) -> bytes:
    """Returns a body with one record per line."""
    return b"\n".join(record() for _ in range(count))


def with_file(url: str) -> bytes:
    """Returns a record with one attachment."""
    entry = json.dumps([{"type": "file", "vendor_url": url}])
    return record().replace(b'"data":', b'"_attachments":' + entry.encode() + b',"data":', 1)
