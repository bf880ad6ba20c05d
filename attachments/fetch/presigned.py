"""URLs for one PUT, signed with AWS Signature Version 4 in the query. Needs no network.

minio's own presigner signs only the host. Here the body's length can be signed too, so that the store takes exactly
that many bytes. Source: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", Amazon S3 API
reference.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from evermuse import store_address

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signer:
    """Credentials, and the host that the URLs name. ``session_token``: of temporary keys; the URLs expire with them."""

    endpoint: str
    access_key: str
    secret_key: str
    is_secure: bool = False
    region: str = store_address.DEFAULT_REGION
    session_token: str | None = None

    def url(
        self, method: str, path: str, *, at: datetime, lifetime: timedelta, content_length: int | None = None
    ) -> str:
        """A URL for one request. ``path`` begins with a slash and is unquoted. ``content_length`` in bytes is signed if
        given.
        """
        headers = {} if content_length is None else {"content-length": str(content_length)}
        headers["host"] = self._host
        date, scope = f"{at:%Y%m%dT%H%M%SZ}", f"{at:%Y%m%d}/{self.region}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": date,
            "X-Amz-Expires": str(int(lifetime.total_seconds())),
            "X-Amz-SignedHeaders": ";".join(headers),
        }
        if self.session_token:
            query["X-Amz-Security-Token"] = self.session_token
        spelled = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        lines = [f"{name}:{value}" for name, value in headers.items()]
        quoted = quote(path, safe="/")
        canonical = "\n".join([method, quoted, spelled, *lines, "", ";".join(headers), "UNSIGNED-PAYLOAD"])
        to_sign = "\n".join([ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = hmac.new(self._key(at), to_sign.encode(), hashlib.sha256).hexdigest()
        scheme = "https" if self.is_secure else "http"
        return f"{scheme}://{self._host}{quoted}?{spelled}&X-Amz-Signature={signature}"

    @property
    def _host(self) -> str:
        # Clients leave the default port out of the Host header.
        return self.endpoint.removesuffix(":443" if self.is_secure else ":80")

    def _key(self, at: datetime) -> bytes:
        key = f"AWS4{self.secret_key}".encode()
        for part in (f"{at:%Y%m%d}", self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key
