"""Slack exports: a directory or a zip file. One record for each thread; a message without replies is a thread of one."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from evermuse.client.convert import inputs, instants, json_values
from evermuse.client.convert.format import ConvertOptions, NotConvertible, UsageError, reason_of
from evermuse.client.convert.people import People
from evermuse.client.convert.records import MAX_ATTACHMENTS, record_line
from evermuse.client.convert.rejects import RejectWriter
from evermuse.client.convert.slack_export import Channel, Export, Message, opened
from evermuse.client.convert.slack_threads import ThreadStore, part_of, why_partial
from evermuse.client.convert.tickets import attachment, text_of, values_in
from lake.json_text import JsonText

MORE_FILES = "Files beyond the tenth of a thread: in data, but not in _attachments"
IGNORED = (
    "Files outside the directories of channels, such as canvases.json: they have no messages, and are not converted"
)
PARTIAL = "Threads of which the export has only a part: records of their own, with slack_thread_part"
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Slack:
    """Converts exports."""

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """One record for each thread, channel by channel. Only messages that cannot be read are rejected."""
        inputs.check_readable(paths)
        for path in paths:
            with opened(path) as export, tempfile.TemporaryDirectory(prefix="evermuse-convert-") as folder:
                if not export.channels and not export.days:
                    raise UsageError(
                        f"{path}: not a Slack export: it has no channels.json and no directory of messages"
                    )
                if export.ignored:
                    rejects.note(IGNORED, len(export.ignored))
                for number, channel in enumerate(export.channels):
                    with closing(ThreadStore(Path(folder, f"channel-{number}"))) as store:
                        _gather(export, channel, store, rejects)
                        for thread, messages in store.threads():
                            rejects.read += 1
                            try:
                                line = _line(export, channel, thread, messages, options, rejects)
                            except Exception as error:
                                first = messages[0]
                                rejects.reject(file=first.file, offset=first.offset, reason=reason_of(error))
                                continue
                            rejects.converted += 1
                            yield line


def _gather(export: Export, channel: Channel, store: ThreadStore, rejects: RejectWriter) -> None:
    """Add the channel's messages to the store. Files and messages that cannot be read are rejected."""
    for name in export.days.get(channel.folder, ()):
        file = f"{export.path}/{name}"
        try:
            found, broken = _messages(export.read(name))
        except OSError as error:
            found, broken = [], str(error)
        if broken:
            rejects.read += 1
            rejects.reject(file=file, offset=0, reason=f"the file is not a list of messages: {broken}")
        for raw, at in found:
            reason = store.add(Message(raw, file, at))
            if reason:
                rejects.read += 1
                rejects.reject(file=file, offset=at, length=len(raw), reason=reason)


def _messages(content: bytes) -> tuple[Iterable[tuple[bytes, int]], str]:
    """The messages of a file with their offsets, and why the file is broken. A broken file may have whole messages."""
    try:
        # This decoder refuses lone surrogates, which are valid JSON.
        return _placed(content, _decode_list(content)), ""
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = str(error)
    try:
        if not isinstance(json.loads(content), list):
            return (), reason
        text = content.strip(b" \t\r\n")
        before = content.find(text)
        return ((text[at:end], before + at) for at, end in JsonText(text).elements(0)), ""
    except (ValueError, RecursionError):
        pass
    return ((value.raw, value.offset) for value in json_values.whole_objects(content)), reason


def _placed(content: bytes, raws: Iterable[msgspec.Raw]) -> Iterator[tuple[bytes, int]]:
    at = 0
    for raw in map(bytes, raws):
        at = content.find(raw, at)
        yield raw, at
        at += len(raw)


def _line(
    export: Export,
    channel: Channel,
    thread: str,
    messages: Sequence[Message],
    options: ConvertOptions,
    rejects: RejectWriter,
) -> bytes:
    event_at = instants.from_epoch(float(thread))
    if event_at is None or not instants.is_plausible(event_at):
        raise NotConvertible(f"the time of the thread is not valid: {thread}")
    contents = [json.loads(message.raw) for message in messages]
    files = [found for content in contents for found in _files(content)]
    if len(files) > MAX_ATTACHMENTS:
        rejects.note(MORE_FILES, len(files) - MAX_ATTACHMENTS)
    people = People(options.internal_domains)
    for content in contents:
        _add_authors(people, content, export.users)
    vendor_ids = {"slack_channel_id": channel.id, "slack_thread_ts": thread}
    if why := why_partial(thread, contents):
        # Under the identity of the thread, a part would replace the whole thread of another export.
        vendor_ids["slack_thread_part"] = part_of(contents)
        rejects.note(PARTIAL)
    return record_line(
        options,
        type="conversation",
        event_at=event_at,
        vendor_ids=vendor_ids,
        thread_id=f"slack:{channel.id}:{thread}",
        participants=people.entries,
        attachments=files[:MAX_ATTACHMENTS],
        data={
            "channel": {"id": channel.id, "name": channel.name, "kind": channel.kind},
            **({"partial": why} if why else {}),
            "users": {one["id"]: one.get("name", "") for one in people.entries},
            "messages": [msgspec.Raw(message.raw) for message in messages],
        },
    )


def _files(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = content.get("files")
    listed = given if isinstance(given, list) else [content.get("file")]
    return [
        attachment(
            filename=one.get("name") or one.get("title"),
            url=one.get("url_private_download") or one.get("url_private"),
            size=one.get("size"),
            mime=one.get("mimetype"),
        )
        for one in listed
        if isinstance(one, dict)
    ]


def _add_authors(people: People, content: Mapping[str, Any], users: Mapping[str, Mapping[str, Any]]) -> None:
    """The author of a message, those of a changed message and of a comment on a file, the editor, and who was in a huddle."""
    for one in (content, content.get("message"), content.get("previous_message"), content.get("comment")):
        if not isinstance(one, dict):
            continue
        if user := text_of(one.get("user")):
            _add_user(people, user, one, users)
        elif bot := text_of(one.get("bot_id")):
            profile = one.get("bot_profile")
            name = text_of(one.get("username")) or (text_of(profile.get("name")) if isinstance(profile, dict) else "")
            people.add(id=bot, name=name, type="bot")
        elif name := text_of(one.get("username")):
            people.add(name=name, type="bot")
        if isinstance(edited := one.get("edited"), dict) and (user := text_of(edited.get("user"))):
            _add_user(people, user, {}, users)
        if isinstance(room := one.get("room"), dict):
            ids = [
                room.get("created_by"),
                *values_in(room.get("participant_history")),
                *values_in(room.get("participants")),
            ]
            for user in filter(None, map(text_of, ids)):
                _add_user(people, user, {}, users)


def _add_user(people: People, id: str, message: Mapping[str, Any], users: Mapping[str, Mapping[str, Any]]) -> None:
    user = users.get(id, {})
    profile = user.get("profile") or message.get("user_profile") or {}
    if not isinstance(profile, dict):
        profile = {}
    names = (profile.get("real_name"), user.get("real_name"), profile.get("display_name"), user.get("name"))
    name = next((text for one in names if (text := text_of(one))), "")
    is_bot = bool(user.get("is_bot")) or id == "USLACKBOT"
    people.add(id=id, name=name, email=text_of(profile.get("email")), type="bot" if is_bot else "user")


SLACK = Slack()
