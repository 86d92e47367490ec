"""The socket loop: it accepts connections, and tells them that their sockets can be used.

It watches a socket for what its connection wanted last, and asks again when a thread says
`changed`. To ask all of them at every turn costs a call 4 ms with 500 idle streams (measured). It
runs in MainThread, and no other thread closes a socket."""

import collections
import contextlib
import errno
import functools
import heapq
import selectors
import signal
import socket
import threading

from transports.fabric.text import is_told, log
from transports.program.signals import WAKE, interruptible

LONGEST_WAIT = 30.0     # seconds, if nothing else wakes it
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SPARE = 100             # connections that are found at once to make room
CLOSE = 4               # what a connection wants when it is over


class Loop:
    """The sockets that listen, and the connections that came in by them."""

    def __init__(self, listening, most, new_connection):
        """`most`: connections at the same time. new_connection(socket) → a ClientConnection."""
        self._listening, self._most, self._new_connection = listening, most, new_connection
        self._is_full = True        # whether clients wait in the backlog until others have gone
        self._full = 0              # how often that was so
        self._thread = None
        self.connections = set()    # written by MainThread
        self._new = collections.OrderedDict()   # of these, in order, what may not have asked yet
        self._spare = []            # (key, id, connection): what was needed least, the least last
        self._changed = collections.deque()     # connections to be asked what they want
        self._waker, self._woken = socket.socketpair()  # by which other threads wake the loop
        self._selector = selectors.DefaultSelector()
        for one in (self._waker, self._woken, *listening):
            one.setblocking(False)
        self._selector.register(self._woken, READ, lambda: self._woken.recv(999))
        self._be_full(False)

    def run(self):
        """Serve until a signal raises SystemExit."""
        self._thread = threading.get_ident()
        if WAKE is None:    # Windows, where a signal does not end a wait: a byte does
            signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        while True:
            while self._changed:
                self._ask(self._changed.popleft())
            with interruptible:
                ready = self._selector.select(LONGEST_WAIT)
            for key, _ in ready:
                key.data()

    def changed(self, connection):
        """This connection wants something else now. Any thread, maybe with its lock held."""
        self._changed.append(connection)
        if threading.get_ident() != self._thread:
            with contextlib.suppress(OSError):  # so many have said so that the loop wakes anyway
                self._waker.send(b"x")

    def close(self):
        """Called when `run` has ended."""
        for connection in list(self.connections):
            connection.close()
        if WAKE is None and self._thread:
            signal.set_wakeup_fd(-1)
        for one in (self._selector, self._waker, self._woken, *self._listening):
            one.close()

    # -- called by MainThread

    def _be_full(self, whether):
        for one in self._listening if whether is not self._is_full else ():
            if whether:
                self._selector.unregister(one)
            else:
                self._selector.register(one, READ, functools.partial(self._accept, one))
        self._is_full = whether

    def _accept(self, listening):
        try:
            accepted, _ = listening.accept()
        except OSError as problem:  # mostly: the client has gone already
            if problem.errno in (errno.EMFILE, errno.ENFILE) and self.connections \
                    and not self._make_room():
                log.warning("no more files can be open: further clients wait until others have "
                            "gone")
                self._be_full(True)
            return
        accepted.setblocking(False)
        with contextlib.suppress(OSError):  # some systems say so if the client has gone
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._new_connection(accepted)
        self.connections.add(connection)
        self._new[connection] = None
        self._changed.append(connection)
        if len(self.connections) >= self._most and not self._make_room(connection):
            self._full += 1
            if is_told(self._full):
                log.warning("%d connections are open and in use, which is as many as may be: "
                            "further clients wait until others have gone (no. %d)",
                            self._most, self._full)
            self._be_full(True)

    def _make_room(self, for_this=None):
        """End what is needed least; False if all are in use. A look at all 4,100 took 8 ms."""
        while self._new and next(iter(self._new)) is not for_this:
            one, _ = self._new.popitem(last=False)
            if (key := one.spare()) and not key[0]:     # it has asked nothing yet
                one.disconnect()
                return True
        while True:
            while self._spare:
                key, _, one = self._spare.pop()
                if one in self.connections and one.spare() == key:  # as when it was found
                    one.disconnect()
                    return True
            found = ((key, id(one), one) for one in self.connections
                     if one is not for_this and (key := one.spare()))
            self._spare = heapq.nsmallest(SPARE, found)[::-1]
            if not self._spare:
                return False

    def _ask(self, connection):
        """Ask the connection what it wants, and watch its socket for that."""
        if connection not in self.connections:
            return
        watched = connection.watched
        try:
            wanted = connection.next_wish()
        except Exception:  # a bug of ours
            log.exception("a connection ends because of a bug")
            wanted = CLOSE
        if wanted == watched:
            return
        if watched:
            self._selector.unregister(connection.socket)
        if wanted == CLOSE:
            self.connections.discard(connection)
            self._new.pop(connection, None)
            self._be_full(False)
            self._let(connection, connection.close)
        elif wanted:
            use = connection.send_more if wanted == WRITE else connection.read
            self._selector.register(connection.socket, wanted,
                                    functools.partial(self._let, connection, use))

    def _let(self, connection, use_socket):
        try:
            use_socket()
        except Exception:  # a bug of ours
            log.exception("a connection ends because of a bug")
            connection.disconnect()
