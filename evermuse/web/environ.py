"""Converts an ASGI request to a WSGI environ (PEP 3333)."""

import io
import re
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from evermuse.asgi_body import AWAITED, COMPLETE, AwaitedBody, Message
from evermuse.web.request import RefusedBody

IDEMPOTENCY_KEY = "HTTP_IDEMPOTENCY_KEY"
# Whether several Idempotency-Keys with different values were sent. Several equal ones count as one.
DIFFERENT_KEYS = "evermuse.different_idempotency_keys"
# An encoded slash is a part of a name and separates none (RFC 3986, section 2.2). It stays encoded.
_ENCODED_SLASH = re.compile(rb"%(2[Ff])")


def environ(scope: Message, address: str) -> dict[str, Any]:
    """The WSGI environ (PEP 3333) of an ASGI HTTP scope, without its body. ``address``: the client's."""
    server = scope.get("server") or ("127.0.0.1", 80)
    raw_path = unquote_to_bytes(_ENCODED_SLASH.sub(rb"%25\1", scope.get("raw_path") or scope["path"].encode()))
    values: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": raw_path.decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        # WSGI writes "-" as "_". So a header with "_" could pass for a header that the proxy in front removes.
        if b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            values[key] = value.decode("latin-1")
        elif key != "TRANSFER_ENCODING":
            key = f"HTTP_{key}"
            text = value.decode("latin-1")
            if key == IDEMPOTENCY_KEY and key in values:
                values[DIFFERENT_KEYS] = values.get(DIFFERENT_KEYS, False) or values[key] != text
                continue
            values[key] = f"{values[key]},{text}" if key in values else text
    return values


def with_body(values: dict[str, Any], body: bytes, ending: str) -> dict[str, Any]:
    """A new environ with the body, or the reason why there is none.

    Each run of Django gets one, because Django changes it: PATH_INFO becomes the decoded path.
    """
    given = values | {"evermuse.body": ending}
    if ending == COMPLETE:
        return given | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    return given | {"wsgi.input": AwaitedBody() if ending == AWAITED else RefusedBody(ending)}
