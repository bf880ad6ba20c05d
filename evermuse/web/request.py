"""Django's request, for bodies that have not been read or were refused."""

from typing import Any, NoReturn

from django.core.exceptions import BadRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from evermuse.asgi_body import COMPLETE, TIMED_OUT

# Names in the environ that one run of Django adds and the next one of the same request finds (`evermuse.asgi`).
OWNER, COUNTED, REQUEST_ID = "evermuse.owner", "evermuse.counted", "evermuse.request_id"
LEARNED = (OWNER, COUNTED, REQUEST_ID)


def learn(values: dict[str, Any], given: dict[str, Any]) -> None:
    """Keep what a run of Django has added to its environ. ``values``: what the next environ begins with."""
    values.update({name: given[name] for name in LEARNED if name in given})


class BodyRefused(BadRequest):
    """A page reads a body that was too large or did not arrive in time."""

    def __init__(self, ending: str) -> None:
        super().__init__(f"The body is refused: {ending}.")
        self.status = 408 if ending == TIMED_OUT else 413


class RefusedBody:
    """``wsgi.input`` of a request whose body was refused. ``ending``: why."""

    def __init__(self, ending: str) -> None:
        self._ending = ending

    def read(self, size: int = -1) -> NoReturn:
        """Raises BodyRefused."""
        raise BodyRefused(self._ending)

    readline = readlines = __iter__ = read


class DjangoRequest(WSGIRequest):
    """Django's request. Without a complete body, whoever reads the body gets the exception of ``wsgi.input``."""

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        self._has_body = environ["evermuse.body"] == COMPLETE
        if not self._has_body:
            # Django takes a body without Content-Length, which is a chunked one, for an empty one.
            self._stream = environ["wsgi.input"]

    def _load_post_and_files(self) -> None:
        if self.method == "POST" and not self._has_body:
            self._stream.read()
        super()._load_post_and_files()


class DjangoHandler(WSGIHandler):
    """Django as a WSGI application with such requests."""

    request_class = DjangoRequest
