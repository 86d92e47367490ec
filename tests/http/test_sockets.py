"""transports/http/engine/sockets.py: which socket the loop asks, and when.

The sockets are real; what they want is played here.
"""

import contextlib
import socket

import pytest

from transports.http.engine.sockets import READ, Sockets


class Wisher:
    """Something in waitress's map; `reads` and `writes` are what it wants."""

    accepting = False

    def __init__(self, sockets):
        self.reads, self.writes, self.asked = True, False, 0
        self.socket, self.peer = socket.socketpair()
        self._fileno = self.socket.fileno()
        sockets[self._fileno] = self

    def readable(self):
        self.asked += 1
        return self.reads

    def writable(self):
        return self.writes

    def handle_write_event(self):
        pass

    def handle_read_event(self):
        if self.socket.recv(1) == b"e":
            raise SystemExit


@pytest.fixture
def sockets():
    sockets = Sockets()
    sockets.one, sockets.idle = Wisher(sockets), Wisher(sockets)

    def turns(data):
        """The loop reads these bytes, one at a turn, and ends after the last."""
        sockets.one.peer.sendall(data + b"e")
        with pytest.raises(SystemExit):
            sockets.loop()
    sockets.turns = turns
    yield sockets
    for wisher in (sockets.one, sockets.idle):
        for end in (wisher.socket, wisher.peer):
            end.close()
    sockets._selector.close()


def test_a_socket_to_which_nothing_happens_is_not_asked(sockets):
    sockets.turns(b"x" * 50)
    assert sockets.one.asked >= 50
    assert sockets.idle.asked <= 2  # when it was new, and with all at the start


def test_another_thread_wakes_the_loop_only_for_a_wish_that_is_new(sockets):
    sockets.turns(b"")
    sockets._thread = None  # from here on this thread is another than the loop's
    assert not sockets.changed(sockets.idle)
    sockets.idle.writes = True
    assert sockets.changed(sockets.idle)
    sockets.turns(b"x")
    sockets._thread = None
    assert not sockets.changed(sockets.idle)
    sockets.idle.reads = sockets.idle.writes = False
    assert sockets.changed(sockets.idle)


def test_a_socket_that_wanted_nothing_for_a_moment_is_watched_again(sockets):
    sockets.idle.reads = False  # as a channel is not readable while something is unsent
    sockets.turns(b"x")
    sockets.idle.reads, sockets._thread = True, None
    assert sockets.changed(sockets.idle)
    sockets.turns(b"x")
    assert sockets._watched[sockets.idle._fileno] == READ


def test_a_socket_that_is_closed_is_forgotten_and_its_number_may_come_again(sockets):
    sockets.turns(b"x")
    number = sockets.idle._fileno
    del sockets[number]
    assert sockets.get(number) is None and number not in sockets._watched
    with contextlib.suppress(KeyError):
        sockets._selector.get_key(number)
        pytest.fail("the selector still watches it")
    sockets[number] = sockets.idle
    sockets.turns(b"x")
    assert sockets._watched[number] == READ
