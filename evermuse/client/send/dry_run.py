"""`--dry-run` and `evermuse validate`: reads, checks and groups the records like `send`, without a server."""

from pathlib import Path

from evermuse.client import terminal
from evermuse.client.send.attaching import Attacher
from evermuse.client.send.checking import Candidate, Invalid, check
from evermuse.client.send.grouping import Grouper
from evermuse.client.send.running import Reader
from evermuse.client.wording import counted

MAX_SHOWN = 20


def rehearse(reader: Reader, attach: Path | None, *, as_json: bool, shows_batches: bool = True) -> int:
    """Check all records, show the counts and the first errors. Returns the exit code."""
    grouper: Grouper[Candidate] = Grouper()
    attacher = Attacher(attach, None)
    valid = invalid = batches = files = 0
    shown: list[dict[str, object]] = []
    for index, first, raws in reader.chunks():
        for one in check(raws, index, first):
            if isinstance(one, Invalid):
                invalid += 1
                if len(shown) < MAX_SHOWN:
                    shown += [
                        {
                            "file": reader.sources[index].name, "record": one.position[1], "code": error.code,
                            "pointer": error.pointer, "message": error.message,
                        }
                        for error in one.errors
                    ]  # fmt: skip
                continue
            valid += 1
            attacher.find(one)
            files += len(one.local_files)
            batches += sum(1 for _ in grouper.add(one))
    batches += sum(1 for _ in grouper.rest())
    is_sound = not (invalid or reader.unreadable)
    if as_json:
        terminal.print_json(
            {
                "read": reader.records, "valid": valid, "rejected": invalid, "batches": batches, "files": files,
                "errors": shown, "unreadable": reader.unreadable, "ignoredFiles": len(reader.ignored),
            }
        )  # fmt: skip
    else:
        for entry in shown:
            terminal.output.print(f"{entry['file']}, record {entry['record']}: {entry['message']}")
        for text in reader.unreadable:
            terminal.output.print(f"Incomplete file: {text}")
        if ignored := reader.ignored_text():
            terminal.output.print(ignored)
        plan = f", in {counted(batches, 'batch')} with {counted(files, 'file')} to upload" if shows_batches else ""
        terminal.output.print(f"{counted(reader.records, 'record')}: {valid:,} valid{plan}, {invalid:,} rejected.")
    return terminal.ACCEPTED if is_sound else terminal.SOME_REJECTED
