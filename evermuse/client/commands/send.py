"""`evermuse send PATH…`."""

import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

from evermuse.client import profiles, terminal
from evermuse.client.blocking import Client
from evermuse.client.commands import send_options as options
from evermuse.client.commands.next_call import NextCall, after_end
from evermuse.client.convert import FORMATS, ConvertOptions, PoolError, UsageError
from evermuse.client.errors import EvermuseError
from evermuse.client.send import converting, waiting
from evermuse.client.send.converting import Conversion
from evermuse.client.send.dry_run import rehearse
from evermuse.client.send.progress import Display
from evermuse.client.send.running import Options, Reader, Run
from evermuse.client.send.sources import NothingToRead, Source, find
from evermuse.client.wording import counted

_HELP = """Send records from files, directories or standard input (-).

Reads NDJSON, JSON objects and arrays, plain or compressed with gzip or zstd. To continue an interrupted run, run the same
command again. Rejected records are written to PATH.rejected.ndjson: fix them and send that file.

Examples:

evermuse send calls.ndjson

evermuse send export/ --wait

zstd -dc mails.ndjson.zst | evermuse send -

evermuse send notes.ndjson --attach files/

evermuse send Inbox.mbox --from mbox --product prod-abc --project proj-123

Exit code: 0 all accepted, 1 some rejected, 2 usage, 3 unreachable or refused, 4 interrupted.
"""


def send(
    paths: terminal.Paths,
    wait: options.Wait = False,
    dry_run: options.DryRun = False,
    limit: options.Limit = None,
    overwrite: options.Overwrite = False,
    attach: options.Attach = None,
    rejects: options.Rejects = None,
    state_dir: options.StateDir = None,
    format: options.Format = None,
    product: options.Product = None,
    project: options.Project = None,
    internal_domain: options.InternalDomain = None,
    tag: options.Tag = None,
    mapping: options.Mapping = None,
    event_at: options.EventAt = None,
    concurrency: options.Concurrency = 6,
    patience: terminal.Patience = 60.0,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Send records."""
    conversion = None
    if format is not None:
        converted = ConvertOptions(
            product_id=product or "",
            project_ids=tuple(project or ()),
            internal_domains=tuple(internal_domain or ()),
            tags=tuple(tag or ()),
            attachments=attach,
            event_at=event_at,
            mapping=mapping,
        )
        conversion = _conversion(format, converted)
    sources = _sources(paths, attach, conversion)
    if rejects is not None:
        terminal.refuse_overwriting("--rejects", rejects, [*(source.path for source in sources), mapping])
    reader = Reader(sources, limit, conversion)
    if dry_run:
        raise typer.Exit(rehearse(reader, attach, as_json=as_json))
    client = terminal.connect(profile, url, patience)
    chosen = Options(overwrite=overwrite, attach=attach, limit=limit, width=concurrency, rejects=rejects, wait=wait)
    chosen.state = (state_dir or profiles.directory() / "state") / _run_name(client, sources)
    sending = _Sending(client, reader, chosen, wants_wait=wait, as_json=as_json)
    sending.conversion = conversion
    _exit_now(sending.run())


send.__doc__ = _HELP


def _conversion(format: str, options: ConvertOptions) -> Conversion:
    if format not in FORMATS:
        raise terminal.fail(f"--from {format}: no such format; there are {', '.join(FORMATS)}", terminal.USAGE)
    if not options.product_id or not options.project_ids:
        raise terminal.fail("--from needs --product and --project", terminal.USAGE)
    return Conversion(format, options)


def _sources(paths: list[Path], attach: Path | None, conversion: Conversion | None) -> list[Source]:
    if conversion is None and attach is not None and not attach.is_dir():
        raise terminal.fail(f"--attach {attach}: there is no such directory", terminal.USAGE)
    try:
        return find(paths) if conversion is None else converting.find(paths)
    except (NothingToRead, OSError) as error:
        raise terminal.fail(str(error), terminal.USAGE) from None


def _exit_now(code: int) -> NoReturn:
    """End the process although threads may still wait for a server that does not answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_name(client: Client, sources: list[Source]) -> str:
    """The directory for runs over the same files to the same server with the same key."""
    words = [client.url, client.key_digest, *(str(source.path.resolve()) for source in sources)]
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class _Sending:
    """One call of the command: what it shows, and its exit code."""

    def __init__(self, client: Client, reader: Reader, options: Options, *, wants_wait: bool, as_json: bool) -> None:
        self._client, self._reader, self._options = client, reader, options
        self._wants_wait, self._as_json = wants_wait, as_json
        self._run: Run | None = None
        self._settled: waiting.Settled | None = None
        self._error: EvermuseError | None = None
        self.conversion: Conversion | None = None

    def run(self) -> int:
        # Thousands of parsed records are alive at any time. The garbage collector would scan them again and again.
        gc.set_threshold(200_000, 20, 100)
        # The threads that send need the interpreter for moments only. They would wait 5 ms each time for the one that reads.
        sys.setswitchinterval(0.0005)
        try:
            with Display(terminal.output, is_quiet=self._as_json) as display:
                self._go(display)
        except KeyboardInterrupt:
            return self._report(terminal.INTERRUPTED)
        except EvermuseError as error:
            self._error = error
            return self._report(terminal.REFUSED)
        except UsageError as error:
            self._error = EvermuseError("WRONG_USAGE", str(error))
            return self._report(terminal.USAGE)
        except (OSError, PoolError) as error:
            self._error = EvermuseError("FILE_ERROR", str(error))
            return self._report(terminal.REFUSED)
        return self._report(None)

    def _go(self, display: Display) -> None:
        key = self._client.key()
        self._client.pace.limit(key.rate_limit)
        run = self._run = Run(self._client, self._reader, self._options, display.note)
        run.go(lambda: display.tick(run))
        if self._wants_wait:
            display.note("Waiting until the batches are complete.")
            own = run.journal.batch_ids
            settled = waiting.wait(self._client, own, lambda *_: display.tick(run))
            run.earlier_files.follow(self._client, own, settled, lambda: display.tick(run))
            self._settled = settled

    def _report(self, ended: int | None) -> int:
        run = self._run
        if run is not None:
            run.delivery.stop()
            run.outcomes.close()
        counts = self._counts(run)
        unconverted = self.conversion.unconverted if self.conversion is not None else 0
        is_sound = not (counts["rejected"] or counts["held"] or self._reader.unreadable or unconverted) and (
            self._settled is None or self._settled.is_sound
        )
        code = ended if ended is not None else (terminal.ACCEPTED if is_sound else terminal.SOME_REJECTED)
        files = self.conversion.files if self.conversion is not None else []
        following = after_end(
            ended, run, self._reader.sources, self._settled, sys.argv[1:], files if unconverted else []
        )
        if self._as_json:
            terminal.print_json({**counts, "exitCode": code, "continue": following.command if following else None})
        else:
            self._show(run, following)
        return code

    def _counts(self, run: Run | None) -> dict[str, Any]:
        if run is None:
            empty = {"read": 0, "accepted": 0, "rejected": 0, "current": 0, "replaced": 0, "held": 0}
            return {**empty, "error": _as_dict(self._error)}
        totals = run.journal.totals
        return {
            "runId": run.journal.run_id,
            "read": self._reader.records,
            "accepted": totals.accepted,
            "rejected": totals.rejected,
            "current": totals.current,
            "replaced": totals.replaced,
            "held": totals.held,
            "batchIds": list(run.journal.batch_ids),
            "uploadedFiles": run.attacher.uploaded,
            "missingFiles": run.attacher.missing,
            "rejectedFiles": [str(path) for path in run.outcomes.reject_files],
            "replacedFiles": [str(path) for path in run.outcomes.replaced_files],
            "unreadable": self._reader.unreadable,
            "ignoredFiles": len(self._reader.ignored),
            "unconverted": self.conversion.unconverted if self.conversion is not None else 0,
            "failedBatches": self._settled.failed if self._settled else [],
            "failedFiles": self._settled.failed_files if self._settled else 0,
            "error": _as_dict(self._error),
        }

    def _show(self, run: Run | None, following: NextCall | None) -> None:
        say = terminal.output.print
        if run is not None:
            for example in run.outcomes.examples:
                say(f"  {example}")
            totals = run.journal.totals
            say(
                f"{counted(self._reader.records, 'record')} read: {totals.accepted:,} accepted in {counted(totals.batches, 'batch')}, "
                f"{totals.current:,} there already, {totals.replaced:,} replaced by newer versions, "
                f"{totals.rejected:,} rejected."
            )
            if totals.held:
                say(f"{counted(totals.held, 'record')} not sent: the server has another version, perhaps an older one.")
            if run.attacher.missing:
                say(
                    f"{counted(run.attacher.missing, 'attachment')} sent unchanged: the directory has no file of that name."
                )
        for text in self._reader.unreadable:
            say(f"Incomplete file: {text}")
        if ignored := self._reader.ignored_text():
            say(ignored)
        if self.conversion is not None and self.conversion.files:
            names = ", ".join(str(path) for path in self.conversion.files)
            say(f"{counted(self.conversion.unconverted, 'item')} not converted: {names}")
        if self._settled is not None:
            failed = f"; failed: {', '.join(self._settled.failed)}" if self._settled.failed else ""
            complete, files = counted(self._settled.complete, "batch"), counted(self._settled.failed_files, "file")
            places = f" in {', '.join(self._settled.with_failed_files)}" if self._settled.with_failed_files else ""
            say(f"{complete} complete, {files} failed{places}{failed}.")
        if self._error is not None:
            terminal.errors.print(f"error: {self._error}")
        if following is not None:
            say(following.invitation)
            say(following.command)


def _as_dict(error: EvermuseError | None) -> dict[str, Any] | None:
    return None if error is None else {"code": error.code, "message": error.message, "status": error.status}
