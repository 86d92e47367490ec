"""transports/http/loop.py: which socket is watched, for what, and when it is asked again.

The sockets are real; what the connections want is played here.
"""

import contextlib
import errno
import functools
import selectors
import signal
import socket
import threading
import time

import pytest

from transports.http import loop as loop_module
from transports.http.loop import Loop

READ, WRITE, CLOSE = selectors.EVENT_READ, selectors.EVENT_WRITE, loop_module.CLOSE


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_a_signal_that_does_not_end_the_wait_wakes_the_loop_by_a_byte(monkeypatch):
    """As on Windows. Here one that another thread gets does not end it."""
    monkeypatch.setattr(loop_module, "WAKE", None)
    loop = Loop([socket.create_server(("127.0.0.1", 0))], 10, None)
    sender = threading.Timer(0.2, lambda: signal.pthread_kill(sender.ident, signal.SIGTERM))
    sender.start()
    began = time.monotonic()
    with contextlib.closing(loop), pytest.raises(SystemExit):
        loop.run()
    sender.join()
    assert time.monotonic() - began < 10


class Wisher:
    """A connection; `wants` is what it wants."""

    def __init__(self, loop):
        self.wants, self.watched, self.asked, self.closed = READ, 0, 0, False
        self.looked_at, self.is_known, self.since = 0, True, time.monotonic()
        self.socket, self.peer = socket.socketpair()
        self.changed = functools.partial(loop.changed, self)
        loop.connections.add(self)
        loop.made.append(self)
        self.changed()

    def next_wish(self):
        self.asked += 1
        self.watched = self.wants
        return self.wants

    def read(self):
        if self.socket.recv(1) == b"e":
            raise SystemExit

    def send_more(self):
        pass

    def disconnect(self):
        self.wants = CLOSE
        self.changed()

    def spare(self):
        self.looked_at += 1
        return self.since and (self.is_known, self.since)

    def close(self):
        self.closed = True
        self.socket.close()


@pytest.fixture
def loop():
    loop = Loop([], 10, None)
    loop.made = []
    loop.one, loop.idle = Wisher(loop), Wisher(loop)

    def turns(data):
        """The loop reads these bytes, one at a turn, and ends after the last."""
        loop.one.peer.sendall(data + b"e")
        with pytest.raises(SystemExit):
            loop.run()
    loop.turns = turns
    yield loop
    loop.close()
    for wisher in loop.made:
        wisher.peer.close()


def watched(loop, connection):
    """What the selector watches a socket for."""
    with contextlib.suppress(KeyError):
        return loop._selector.get_key(connection.socket).events
    return 0


def test_a_connection_that_says_nothing_of_a_change_is_asked_once_however_often_it_reads(loop):
    loop.turns(b"x" * 50)
    assert loop.one.asked == loop.idle.asked == 1


def test_a_connection_that_wants_something_else_is_asked_again(loop):
    loop.turns(b"x")
    for wants in (WRITE, 0, READ):
        loop.idle.wants = wants
        loop.changed(loop.idle)
        loop.turns(b"x")
        assert watched(loop, loop.idle) == wants


def test_another_thread_wakes_the_loop(loop):
    loop.turns(b"x")
    loop._thread = None     # from here on this thread is another than the loop's
    assert not loop._selector.select(0)
    loop.changed(loop.idle)
    assert loop._selector.select(0)


def test_a_connection_that_is_over_is_closed_and_forgotten_and_what_it_says_later_is_nothing(loop):
    loop.turns(b"x")
    loop.idle.wants = CLOSE
    loop.changed(loop.idle)
    loop.changed(loop.idle)
    loop.turns(b"x")
    assert loop.idle.closed and loop.connections == {loop.one}


def test_a_bug_in_one_connection_ends_that_one_only(loop, caplog):
    loop.idle.read = lambda: 1 / 0
    loop.idle.peer.send(b"x")
    loop.turns(b"x" * 5)
    loop.turns(b"x")
    assert loop.idle.closed and not loop.one.closed
    assert "ZeroDivisionError" in caplog.text


def test_a_bug_in_what_a_connection_wants_ends_that_one_only(loop, caplog):
    loop.turns(b"x")
    loop.idle.next_wish = lambda: 1 / 0
    loop.changed(loop.idle)
    loop.turns(b"x" * 5)
    assert loop.idle.closed and not loop.one.closed
    assert "ZeroDivisionError" in caplog.text


def comes(loop, connection):
    loop._new[connection] = None
    made_room = loop._make_room(connection)
    while loop._changed:
        loop._ask(loop._changed.popleft())
    return made_room


@pytest.fixture
def full(loop):
    """200 connections, from the oldest to the newest."""
    return [loop.one, loop.idle, *(Wisher(loop) for _ in range(198))]


def test_room_is_made_without_a_look_at_every_connection_each_time(loop, full):
    others = [Wisher(loop) for _ in range(150)]
    for other in others:
        other.is_known = True
        assert comes(loop, other)
    assert sum(wisher.closed for wisher in full) == 150 and not any(o.closed for o in others)
    assert sum(one.looked_at for one in [*full, *others]) < 3 * 350 + 2 * 150


def test_who_has_asked_nothing_goes_first_then_who_has_asked_least_lately(loop, full):
    first = Wisher(loop)
    first.is_known = False
    assert comes(loop, first) and full[0].closed    # for the first, that has asked nothing yet
    full[1].since = time.monotonic() + 9    # it asks again after it was found
    second = Wisher(loop)
    second.is_known = False
    assert comes(loop, second) and first.closed and not full[1].closed
    second.is_known = True
    assert comes(loop, first := Wisher(loop)) and full[2].closed and not full[1].closed
    for one in full:
        one.since = None                    # in use
    second.since = first.since = None
    assert not comes(loop, Wisher(loop))


def test_room_is_made_too_if_no_more_files_can_be_open(loop, full, caplog):
    class Listening:
        def accept(self):
            raise OSError(errno.EMFILE, "Too many open files")
    loop._accept(Listening())
    assert full[0].wants == CLOSE and not caplog.messages
