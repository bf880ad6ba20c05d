"""A response's head leaves together with its body, and never later than the body would."""

from types import SimpleNamespace

from evermuse.web.closing import ClosingProtocol


def protocol() -> tuple[ClosingProtocol, list[bytes], list[object]]:
    """A protocol on a transport that notes what is written, and a loop that notes what is to be called."""
    written: list[bytes] = []
    soon: list[object] = []
    made = ClosingProtocol.__new__(ClosingProtocol)
    made._lingers_for, made._is_lost, made._holds_next, made._held = 0, False, False, b""
    made.transport = SimpleNamespace(  # type: ignore[assignment]
        write=written.append, is_closing=lambda: False, close=lambda: None, get_write_buffer_size=lambda: 0
    )
    made.loop = SimpleNamespace(call_soon=soon.append)  # type: ignore[assignment]
    return made, written, soon


def test_head_and_body_are_written_at_once() -> None:
    made, written, soon = protocol()
    made.hold_next()
    made.write(b"head ")
    made.write(b"body")
    assert written == [b"head body"]
    made._write_held()
    assert (written, soon) == ([b"head body"], [made._write_held])


def test_head_of_a_body_that_comes_later_is_written_meanwhile() -> None:
    made, written, _ = protocol()
    made.hold_next()
    made.write(b"head ")
    made._write_held()
    made.write(b"body")
    assert written == [b"head ", b"body"]


def test_head_without_a_body_is_written_before_the_connection_closes() -> None:
    made, written, _ = protocol()
    made.hold_next()
    made.write(b"head")
    made._close_or_abort_later()
    assert written == [b"head"]


def test_second_head_does_not_wait_for_the_first() -> None:
    made, written, _ = protocol()
    for head in (b"1", b"2"):
        made.hold_next()
        made.write(head)
    made.write(b"3")
    assert written == [b"12", b"3"]
