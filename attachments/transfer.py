"""One attempt's bytes: from the vendor or from a client's upload, through the checks, into the object store."""

from django.conf import settings

from attachments import uploads
from attachments.download_failures import DownloadFailed, final
from attachments.fetch import attempt_objects, content, download, promise
from attachments.fetch.download import IncomingFile
from attachments.fetch.expected import Expected, Sent
from attachments.fetch.upload import Upload
from attachments.fetch.watch import Transfer
from attachments.models import UploadIntent
from attachments.queue import claims
from attachments.queue.claims import DownloadClaim, Stored
from attachments.resumption import Partial, keeper
from evermuse import public_ids

# Enough to recognise an HTML page.
OPENING_BYTES = 1024

_GZIP = {("gzip",), ("x-gzip",)}


class _OtherForm(Exception):
    """Raised to try the other form of a compressed response: the bytes as they were sent, or decoded."""

    def __init__(self, *, is_as_sent: bool) -> None:
        super().__init__()
        self.is_as_sent = is_as_sent


class Fetch:
    """One attempt under a claim. Call ``close`` in any case: it removes what is neither stored nor kept."""

    def __init__(self, claim: DownloadClaim, transfer: Transfer) -> None:
        self.claim, self.transfer = claim, transfer
        self.http_status = 0
        self._partial: Partial | None = keeper.take(claim)
        self._intent: UploadIntent | None = None
        # The form to take of a compressed response. None: the response decides.
        self._is_as_sent: bool | None = None

    @property
    def resumable_token(self) -> int | None:
        """The attempt whose key an interrupted upload can continue under, or None."""
        return self._partial.token if self._partial is not None and self._partial.place is not None else None

    def run(self) -> Stored:
        """Download, check and store. Raises DownloadFailed and StoreUnavailable."""
        claim = self.claim
        if claim.vendor_url and claim.upload_intent_id:
            raise final("INTENT_AND_URL", "an attachment names either vendor_url or upload_intent_id, not both")
        if claim.kept_token is not None and self._partial is None:
            claims.drop_kept(claim)
        place = self._partial.place if self._partial else None
        if claim.upload_intent_id:
            found = uploads.claim_intent(claim)
            if isinstance(found, Stored):
                return found
            self._intent = found
            source = uploads.open_uploaded(found, claim.workspace, self.transfer)
        else:
            source = download.opened(claim.vendor_url, self.transfer, place)
        try:
            with source as answer:
                self.http_status = answer.status
                return self._store(answer)
        except _OtherForm as other:
            return self._run_again(is_as_sent=other.is_as_sent)

    def _run_again(self, *, is_as_sent: bool) -> Stored:
        """Send the request again, and take the bytes in the other form."""
        self.close()
        self._partial, self._is_as_sent = None, is_as_sent
        with download.opened(self.claim.vendor_url, self.transfer) as answer:
            self.http_status = answer.status
            return self._store(answer)

    def keep(self) -> None:
        """Keep the received parts for the next attempt in this process."""
        assert self._partial
        keeper.keep(self.claim, self._partial)
        self._partial = None

    def close(self) -> None:
        """Remove parts that are neither stored nor kept."""
        if self._partial is not None and not self._partial.upload.is_stored:
            self._partial.upload.abandon()

    def _begun(self, answer: IncomingFile) -> Partial:
        """The download to continue: the kept one if the response continues it, else a new one."""
        if self._partial is not None:
            if answer.is_continued:
                return self._partial
            self._partial.upload.abandon()
            claims.drop_kept(self.claim)
        mime_type = content.stored_mime(
            declared=self.claim.declared_mime_type or (self._intent.mime_type if self._intent else ""),
            answered=answer.mime_type,
            filename=self.claim.filename or (self._intent.filename if self._intent else ""),
        )
        key = attempt_objects.new_key(
            workspace=self.claim.workspace,
            attachment=public_ids.of_attachment(self.claim.id),
            token=self.claim.token,
        )
        self._partial = Partial(
            Upload(key, mime_type),
            self.claim.token,
            answered_mime=answer.mime_type,
            etag=answer.etag,
            total=answer.announced,
        )
        return self._partial

    def _store(self, answer: IncomingFile) -> Stored:
        limit, status = settings.EVERMUSE_ATTACHMENT_MAX_BYTES, answer.status or None
        if answer.announced is not None and answer.announced > limit:
            raise final("TOO_LARGE", f"the file has {answer.announced} bytes; at most {limit} are taken", status)
        partial = self._begun(answer)
        upload, wanted = partial.upload, self._expected()
        sent, chunks = Sent(), answer.chunks
        is_decoded = bool(answer.codings) and not self._takes_as_sent(answer, wanted)
        if is_decoded:
            chunks = content.decoded(sent.passing(chunks) if wanted else chunks, answer.codings)
        try:
            for chunk in chunks:
                if upload.size + len(chunk) > limit:
                    raise final("TOO_LARGE", f"the file is larger than {limit} bytes", status)
                if len(partial.opening) < OPENING_BYTES:
                    partial.opening += chunk[:OPENING_BYTES]
                upload.write(chunk)
        except DownloadFailed as failed:
            # Often the Content-Encoding is wrong and the file is right. The checksums decide.
            is_undecided = is_decoded and wanted and self._is_as_sent is None
            if is_undecided and failed.failure.code == "UNSUPPORTED_ENCODING":
                raise _OtherForm(is_as_sent=True) from None
            raise
        checksums = upload.end()
        differs = [
            difference
            for one in wanted
            if (difference := one.mismatch(size=upload.size, sha1=checksums.sha1, md5=checksums.md5, status=status))
        ]
        if differs and answer.codings and self._is_as_sent is None:
            if is_decoded and all(sent.is_(one) for one in wanted):
                raise _OtherForm(is_as_sent=True)
            if not is_decoded and content.can_decode(answer.codings):
                raise _OtherForm(is_as_sent=False)
        # A file that matches its declared checksums is accepted without a look at its content.
        if differs or not wanted:
            promise.refuse_other(self._promised(), answered_mime=partial.answered_mime, opening=partial.opening)
        if differs:
            raise differs[0]
        if self.transfer.stopped:
            raise DownloadFailed(self.transfer.stopped)
        return Stored(
            uri=upload.complete(),
            size=upload.size,
            mime_type=upload.mime_type,
            sha256=checksums.sha256,
            sha1=checksums.sha1,
            md5=checksums.md5,
        )

    def _expected(self) -> list[Expected]:
        """What the record and the upload intent declare about the file."""
        claim, intent = self.claim, self._intent
        declared = [Expected(claim.declared_size, claim.declared_sha1, claim.declared_md5)]
        if intent is not None:
            declared.append(Expected(intent.size, intent.sha1, intent.md5))
        return [one for one in declared if one.is_given]

    def _promised(self) -> promise.Promised:
        claim, intent = self.claim, self._intent
        return promise.promised(
            type=claim.type,
            declared_mimes=[claim.declared_mime_type, intent.mime_type if intent else ""],
            filenames=[claim.filename, intent.filename if intent else ""],
        )

    def _takes_as_sent(self, answer: IncomingFile, wanted: list[Expected]) -> bool:
        """Whether a compressed response is the file itself, rather than a compressed form of it.

        Servers label a stored ``.tar.gz`` with Content-Encoding gzip. The declared size decides, or else the file name.
        If declared checksums do not match, the other form is tried.
        """
        if self._is_as_sent is not None:
            return self._is_as_sent
        if wanted and not content.can_decode(answer.codings):
            return True
        sizes = {one.size for one in wanted if one.size is not None}
        if sizes and answer.announced is not None:
            return sizes == {answer.announced}
        return answer.codings in _GZIP and "application/gzip" in self._promised().mimes
