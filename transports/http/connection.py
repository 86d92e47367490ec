"""Our end of a client's TCP connection.

A POST that carries a message bypasses WSGI and Flask. MainThread begins it if that needs no
waiting, and the thread that has the reply writes it. All else is run by a worker.

Requests are served in order, and none is begun while something is unsent. A client may close its
sending side and read on; but if a call waits then or a stream is open, it has hung up.

Locks: first an outbox's pen (any thread that has an event writes it), then the connection's, which
is held while the socket takes bytes without waiting."""

import collections
import contextlib
import functools
import os
import socket
import struct
import threading
import time

from transports.fabric.text import log

from .loop import CLOSE, READ, WRITE
from .replies import BUG, BY_WORKER, Reply, head

MOST_UNSENT = 2**20             # bytes of a stream for one slow client, before its worker waits
LONG = MOST_UNSENT - 2**13      # bytes of a message; a longer one is never work for MainThread
READ_BYTES = 2**13              # at once
STUCK_LOOKS, IDLE_LOOKS = 4, 13     # see `look`
LEAST_BYTES = 100_000           # of a body, from one look to the next
RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)    # close at once, and drop the rest


class ClientConnection:
    """One TCP connection. `server` is what all connections share: the Server of server.py."""

    def __init__(self, server, accepted):
        self.server, self.socket = server, accepted
        self.connected = True       # False as soon as it is over, whoever ended it
        self._sends_no_more = False     # the client has closed its side, but may read
        self._on_gone = None        # called once, by MainThread, if the client hangs up
        self._coming = None         # the Request that is being read
        self._looked_at = None, 0   # that of the last look, and the bytes of its body
        # whether it has brought a whole request, and when the last one, or when it was accepted
        self._used = False, time.monotonic()
        self._is_chunked = False    # whether the answer is sent in chunks
        self._lock = threading.Lock()
        self._taken = threading.Condition(self._lock)   # told when the client takes bytes
        # written under _lock:
        self.unsent = bytearray()
        self.watched = 0            # what the loop watches the socket for: READ, WRITE or nothing
        self._most_unsent = MOST_UNSENT
        self._looks = 0             # since the client sent or took something, see `look`
        self._waiting = collections.deque()     # Requests that are complete
        self._request = None        # whose turn it is
        self._ends = False          # after what is unsent, no more will be sent …
        self._drains = False        # … nor has it been: now the client's rest is read and dropped

    # -- called by the socket loop, in MainThread

    def next_wish(self):
        """What the loop shall watch the socket for from now on: READ, WRITE, nothing or CLOSE."""
        self._next_turn()
        with self._lock:
            if self._ends and not self._drains and not self.unsent:
                # If we closed while the client sends, our answer might be lost (RFC 9112, 9.6).
                self._drains, self._looks = True, 0
                with contextlib.suppress(OSError):  # it is broken: reading will tell
                    self.socket.shutdown(socket.SHUT_WR)
            self.watched = self._wants()
            return self.watched

    def _wants(self):
        if self.unsent and self.connected:
            return WRITE
        if not self.connected or self._ends and not self._drains or (
                self._sends_no_more and not (self._request or self._waiting)):
            return CLOSE
        # A socket at its end is always readable: the loop would spin until the request ends.
        return 0 if self._sends_no_more or self._waiting else READ

    def read(self):
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._sends_no_more = True
            if self._on_gone:   # not `connected and …`: another thread may just end it
                self.connected = False
        elif not self._ends:
            self._receive(data)
        if not data or self._waiting or self.unsent:    # else it was told
            self._tell_loop()

    def _receive(self, data):
        self._looks, whole = 0, []
        while data:
            request = self._coming = self._coming or self.server.new_request()
            data = data[request.received(data):]
            if request.completed:
                self._coming = None
                self._used = True, time.monotonic()
                if not request.empty:
                    whole.append(request)
            elif request.expect_continue and request.headers_finished and not self._request:
                request.expect_continue = False
                with self._lock:
                    self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._next_turn(whole)

    def send_more(self):
        with self._lock:
            self._send(b"")
            self._taken.notify_all()
        self._next_turn()
        self._tell_loop()

    def close(self):
        """Called once, by the loop, which does not watch the socket any more."""
        with self._lock:
            self._break_off()
            self.socket.close()
            gone, self._on_gone = self._on_gone, None
        if gone:
            gone()

    def _next_turn(self, whole=()):
        """These Requests have come; of those that wait, the first begins if it may. MainThread
        begins nothing that may wait, and no message so long that all others would."""
        with self._lock:
            if self._ends:
                return
            self._waiting += whole
            if self._request or self.unsent or not self._waiting or not self.connected:
                return
            request = self._request = self._waiting.popleft()
        if request.body_bytes_received <= LONG:
            self._serve(self._begin, request, True)
        else:
            self.server.workers.do(functools.partial(self._serve, self._begin, request, False))

    # -- the request whose turn it is; called by MainThread or by a worker

    def _begin(self, request, quickly):
        """Its answer: a Reply, or a WSGI application; None: it comes later; or BY_WORKER."""
        if request.refused or not request.way:
            return request.refused or (BY_WORKER if quickly else self.server.application)
        return request.way.post(request, request.said, self, quickly)

    def _serve(self, begin, *arguments):
        try:
            answer = begin(*arguments) if self.connected else None
            if answer is BY_WORKER:
                self.server.workers.do(functools.partial(self._serve, begin, arguments[0], False))
            elif isinstance(answer, Reply):
                self.answer(answer)
            elif answer:
                self._run(answer)
        except Exception:  # a bug of ours
            log.exception("a request could not be served")
            self.answer(BUG)

    def _run(self, application):
        """Send what Flask answers, or a stream, which has no Content-Length and comes last."""
        request, begun = self._request, []
        pieces = application(request.environ(self), lambda *given: begun.extend(given))
        status, headers = begun[:2]
        is_stream = "Content-Length" not in dict(headers)
        is_last = is_stream or request.is_last()
        chunked = [("Transfer-Encoding", "chunked")] if (
            is_stream and request.version == "1.1") else []
        try:
            with contextlib.closing(pieces):
                self.write(head(request.version, status, (*headers, *chunked, *request.cors),
                                is_last, int(time.time())) + b"\r\n")
                self._is_chunked = bool(chunked)
                all(map(self.write, filter(None, pieces)))  # until one cannot be written
        except Exception:  # a bug of ours
            log.exception("a stream breaks off")
            self.disconnect()
        self._finish(is_last, b"0\r\n\r\n" if chunked else b"")

    def _finish(self, is_last, rest):
        """The answer is whole with this rest of it."""
        self._request.close()
        with self._lock:
            self._on_gone = None
            self._send(rest)
            self._request, self._ends = None, self._ends or is_last
            if is_last:
                self._waiting.clear()
            waits = bool(self._waiting)
        if waits:   # its turn begins in MainThread
            self.server.loop.changed(self)
        else:
            self._tell_loop()

    # -- called by any thread

    def answer(self, reply):
        """The whole answer to the request whose turn it is; does not wait. Called once."""
        try:
            is_last = self._request.is_last()
            self._finish(is_last, reply.to_bytes(self._request, is_last))
        except Exception:  # a bug of ours: the client would wait
            log.exception("an answer could not be written")
            self.disconnect()

    def become_stream(self, post):
        """A worker sends what post.as_stream() returns: a stream, or a Reply that says why not."""
        self.server.workers.do(functools.partial(self._serve, post.as_stream))

    def when_gone(self, call):
        """MainThread calls this if the client hangs up without its answer, or has done so."""
        self._on_gone = call
        if self._sends_no_more:
            self.disconnect()

    def write(self, data, at_once=False):
        """Send a piece of a stream; waits while more than MOST_UNSENT is unsent. False if the
        client has gone; and with `at_once`, without sending it, if that could wait."""
        if at_once and (self.unsent or len(data) > LONG):
            return False
        if self._is_chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        with self._lock:
            while len(self.unsent) > self._most_unsent:
                self._taken.wait()
            if self.connected:
                self._send(data)
        self._tell_loop()
        return self.connected

    def _send(self, data):
        """Send what is unsent, then this. What the socket does not take stays. Requires _lock."""
        unsent, sent = self.unsent, 0
        if unsent:
            unsent += data
        else:
            self._looks = 0
        try:
            sent = self.socket.send(unsent or data)
            self._looks = 0
        except BlockingIOError:
            pass
        except OSError:
            self._break_off()
            return
        if unsent:
            del unsent[:sent]
        elif sent < len(data):
            unsent += memoryview(data)[sent:]

    def _break_off(self):
        """Nothing more is sent. Requires _lock."""
        self.connected = False
        self.unsent.clear()
        self._taken.notify_all()

    def _tell_loop(self):
        """What it wants may have changed: the loop has seen it, with the lock held, or is told."""
        if self._wants() != self.watched:
            self.server.loop.changed(self)

    def disconnect(self):
        """End the connection, even if the thread that feeds it waits for the client to read."""
        with self._lock:
            self._break_off()
            # The loop hears nothing of a socket that takes no more bytes, unless it is shut down;
            # and without a reset the system would go on to offer what the client does not read.
            with contextlib.suppress(OSError):  # the client has closed it already
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.socket.shutdown(socket.SHUT_RDWR)
        self.server.loop.changed(self)

    def look(self):
        """Called by the clock, again and again: what stays the same for so many looks ends."""
        with self._lock:
            self._looks += 1
            is_stuck = self._looks == STUCK_LOOKS and (self.unsent or self._drains)
            if self._looks == IDLE_LOOKS and not (self._request or self._waiting):
                self._ends = True
            # The header of what comes in is not whole since the last look, or hardly any body came
            (before, size), coming = self._looked_at, self._coming
            self._looked_at = coming, coming.body_bytes_received if coming else 0
            is_late = coming and coming is before and not self._in_use() \
                and coming.body_bytes_received < size + LEAST_BYTES
        if is_stuck:
            log.info("a client has not read for too long: its connection ends")
        if is_stuck or is_late:
            self.disconnect()
        self._tell_loop()

    def _in_use(self):
        """Whether a request is served or waits for that, or an answer goes out. Requires _lock."""
        return bool(self._request or self._waiting or self.unsent)

    def spare(self):
        """None if it is in use; else a key: the connection with the least is needed least."""
        with self._lock:
            return None if self._in_use() else self._used

    def never_wait(self):
        """The loop has ended: no thread waits any more until the client reads."""
        self._most_unsent = float("inf")
        if len(self.unsent) > MOST_UNSENT:
            self.disconnect()
