"""Requests whose body comes later than the head, or is refused: Django runs on an environ of its own each time."""

from typing import Any

import pytest
from django.http import HttpResponse

from evermuse.asgi_body import AWAITED, COMPLETE, TIMED_OUT, TOO_LARGE, BodyAwaited
from evermuse.web.environ import environ, with_body
from evermuse.web.request import BodyRefused, DjangoHandler, DjangoRequest, learn

FORM = b"username=someone&password=something"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nsomeone\r\n--x--\r\n'
FORMS = [(FORM, b"application/x-www-form-urlencoded"), (MULTIPART, b"multipart/form-data; boundary=x")]
Values = dict[str, Any]


def values_of(content_type: bytes, *headers: tuple[bytes, bytes], path: str = "/admin/login/") -> Values:
    return environ(
        {"method": "POST", "path": path, "headers": [(b"content-type", content_type), *headers]}, "127.0.0.1"
    )


@pytest.mark.parametrize(("form", "content_type"), FORMS)
@pytest.mark.parametrize("framing", [(b"transfer-encoding", b"chunked"), (b"content-length", b"35")])
def test_form_is_read_whole_however_its_body_is_framed(
    form: bytes, content_type: bytes, framing: tuple[bytes, bytes]
) -> None:
    values = values_of(content_type, framing)
    with pytest.raises(BodyAwaited):
        _ = DjangoRequest(with_body(values, b"", AWAITED)).POST
    assert DjangoRequest(with_body(values, form, COMPLETE)).POST["username"] == "someone"


@pytest.mark.parametrize(("form", "content_type"), FORMS)
@pytest.mark.parametrize(("ending", "status"), [(TOO_LARGE, 413), (TIMED_OUT, 408)])
def test_refused_form_is_not_read_as_an_empty_one(form: bytes, content_type: bytes, ending: str, status: int) -> None:
    with pytest.raises(BodyRefused) as refused:
        _ = DjangoRequest(with_body(values_of(content_type), b"", ending)).POST
    assert refused.value.status == status


def test_environ_of_a_run_is_not_the_one_of_the_next() -> None:
    values = values_of(b"application/json", path="/api/v1/ingest/batches/é/retry")
    before = dict(values)
    given = with_body(values, b"", AWAITED)
    given["PATH_INFO"], given["CONTENT_LENGTH"] = "changed", "1"
    assert values == before


COOKIE = (b"cookie", b"csrftoken=" + b"a" * 32)
HOST = (b"host", b"127.0.0.1")


def answer(given: dict[str, Any]) -> HttpResponse:
    response: Any = DjangoHandler()(given, lambda status, headers: None)  # type: ignore[arg-type]
    assert isinstance(response, HttpResponse)
    return response


@pytest.mark.django_db
@pytest.mark.parametrize(("ending", "status"), [(TOO_LARGE, 413), (TIMED_OUT, 408)])
def test_refused_body_of_a_page_gets_a_page_that_says_so(ending: str, status: int) -> None:
    response = answer(with_body(values_of(FORMS[0][1], COOKIE, HOST), b"", ending))
    assert response.status_code == status
    assert b"Nothing was saved" in response.content


@pytest.mark.django_db
def test_runs_of_a_request_have_one_id() -> None:
    values = values_of(FORMS[0][1], COOKIE, HOST)
    given = with_body(values, b"", AWAITED)
    with pytest.raises(BodyAwaited):
        answer(given)
    learn(values, given)
    assert answer(with_body(values, FORM, COMPLETE))["X-Request-ID"] == given["evermuse.request_id"]
