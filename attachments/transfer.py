"""The bytes of one attempt: from the vendor, or from a client's upload, through the checks, into the store."""

from django.conf import settings

from attachments import claims, content, download, storage, uploads
from attachments.claims import Claim, Stored
from attachments.download import Answer
from attachments.failures import DownloadFailed, final
from attachments.measure import Checksums
from attachments.models import UploadIntent
from attachments.resumption import Partial, keeper
from attachments.storage import Upload
from attachments.watch import Transfer
from evermuse import public_ids

# Enough of the beginning to tell an HTML page.
OPENING_BYTES = 1024


class Fetch:
    """One attempt under a claim. ``close`` it in any case: what is neither stored nor kept is abandoned."""

    def __init__(self, claim: Claim, transfer: Transfer) -> None:
        self.claim, self.transfer = claim, transfer
        self.http_status = 0
        self._partial: Partial | None = keeper.take(claim)
        self._intent: UploadIntent | None = None

    @property
    def resumable_token(self) -> int | None:
        """The attempt under whose key an interrupted upload could go on; None where it could not."""
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
            found = uploads.claim(claim)
            if isinstance(found, Stored):
                return found
            self._intent = found
            source = uploads.opened(found, claim.workspace, self.transfer)
        else:
            source = download.opened(claim.vendor_url, self.transfer, place)
        with source as answer:
            self.http_status = answer.status
            return self._store(answer)

    def keep(self) -> None:
        """Leave what came to the next attempt of this process."""
        assert self._partial
        keeper.keep(self.claim, self._partial)
        self._partial = None

    def close(self) -> None:
        """Abandon what nobody needs."""
        if self._partial is not None and not self._partial.upload.is_stored:
            self._partial.upload.abandon()

    def _begun(self, answer: Answer) -> Partial:
        """The download to go on with: the kept one where the answer continues it, else a new one."""
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
        key = storage.attempt_key(
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

    def _store(self, answer: Answer) -> Stored:
        limit, status = settings.EVERMUSE_ATTACHMENT_MAX_BYTES, answer.status or None
        if answer.announced is not None and answer.announced > limit:
            raise final("TOO_LARGE", f"the file has {answer.announced} bytes; at most {limit} are taken", status)
        partial = self._begun(answer)
        upload = partial.upload
        for chunk in answer.chunks:
            if upload.size + len(chunk) > limit:
                raise final("TOO_LARGE", f"the file is larger than {limit} bytes", status)
            if len(partial.opening) < OPENING_BYTES:
                partial.opening += chunk[:OPENING_BYTES]
            upload.write(chunk)
        checksums = upload.end()
        content.check_promise(
            type=self.claim.type,
            declared_mime=self.claim.declared_mime_type,
            answered_mime=partial.answered_mime,
            opening=partial.opening,
        )
        claim, intent = self.claim, self._intent
        check_declared(upload.size, checksums, claim.declared_size, claim.declared_sha1, claim.declared_md5, status)
        if intent is not None:
            check_declared(upload.size, checksums, intent.size, intent.sha1, intent.md5, status)
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


def check_declared(came: int, checksums: Checksums, size: int | None, sha1: str, md5: str, status: int | None) -> None:
    """Raise (final) when the file is not the one that was described; empty values promise nothing."""
    if size is not None and size != came:
        raise final("SIZE_MISMATCH", f"size: {size} bytes were declared, {came} came", status)
    for name, declared, found in (("sha1", sha1, checksums.sha1), ("md5", md5, checksums.md5)):
        if declared and declared.strip().lower() != found:
            raise final(f"{name.upper()}_MISMATCH", f"{name}: the file's is {found}, another was declared", status)
