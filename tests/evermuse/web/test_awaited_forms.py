"""Forms of pages whose body comes later than its head."""

import pytest
from django.core.handlers.wsgi import WSGIRequest

from evermuse.asgi_body import AWAITED, COMPLETE, BodyAwaited
from evermuse.web.environ import environ, with_body

FORM = b"username=someone&password=something"


@pytest.mark.parametrize("framing", [(b"transfer-encoding", b"chunked"), (b"content-length", b"%d" % len(FORM))])
def test_form_is_read_whole_however_its_body_is_framed(framing: tuple[bytes, bytes]) -> None:
    headers = [framing, (b"content-type", b"application/x-www-form-urlencoded")]
    values = environ({"method": "POST", "path": "/admin/login/", "headers": headers}, "127.0.0.1")
    with pytest.raises(BodyAwaited):
        _ = WSGIRequest(with_body(values, b"", AWAITED)).POST
    assert WSGIRequest(with_body(values, FORM, COMPLETE)).POST["username"] == "someone"
