"""Our end of a client's TCP connection.

A POST that carries a message bypasses WSGI and Flask, which would cost more than all the rest of
a call. MainThread begins it if that needs no waiting, and any thread that has the reply writes
it. So a call that waits for its server holds no thread. Everything else is served by a worker,
through WSGI.

Requests are served one after another, and none is begun while something is unsent. So a client
that does not read holds no worker but those that feed its streams.

A client may close its sending side and still read. It gets the answers to what it has sent; but
if it does so while a call waits or a stream is open, it is taken to have hung up.
"""

import collections
import contextlib
import logging
import os
import selectors
import socket
import struct
import threading
import time

import waitress.task
from waitress.channel import ClientDisconnected

from .reply import BUG, reply_to_error

log = logging.getLogger("router")

MOST_UNSENT = 2**20             # bytes of a stream for one slow client, before its worker waits
LONG = MOST_UNSENT - 2**13      # bytes of a message; a longer one is never work for MainThread
READ_BYTES = 2**13              # at once
STUCK_LOOKS, IDLE_LOOKS = 3, 12     # see `look`
RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)    # close at once, and drop the rest

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
CLOSE = 4       # what a connection wants when it is over


class ClientConnection:
    """One TCP connection. waitress's task, which runs a view, takes it for waitress's channel."""

    def __init__(self, server, accepted, address):
        """`server` has what all connections share, see http/server.py."""
        self.server, self.adj, self.socket, self.addr = server, server.adj, accepted, address
        self.connected = True       # False as soon as it is over, whoever ended it
        self.sends_no_more = False  # the client has closed its side, but may read
        self.on_disconnect = None   # called once, by MainThread, if the client hangs up
        self.request = None         # whose turn it is
        self.post = None            # what becomes a stream of events, see become_stream
        self.last_activity = time.monotonic()   # when the client sent or took something
        self._coming = None         # the Request that is being read
        self._looks, self._seen = 0, None       # how often `look` has found it as it was
        self._lock = threading.Condition(threading.Lock())
        # written under _lock:
        self.unsent = bytearray()
        self.watched = 0            # what the loop watches the socket for: READ, WRITE or nothing
        self._most_unsent = MOST_UNSENT
        self._waiting = collections.deque()     # Requests that are complete
        self._ends = False          # after what is unsent, no more will be sent …
        self._drains = False        # … nor has it been: now the client's rest is read and dropped

    # -- called by the socket loop, in MainThread

    def next_wish(self):
        """What the loop shall watch the socket for from now on: READ, WRITE, nothing or CLOSE."""
        with self._lock:
            if self._ends and not self._drains and not self.unsent:
                # The client may be sending still. Closed now, the system would answer that with
                # a reset, and the client might lose our answer (RFC 9112, 9.6).
                self._drains = True
                with contextlib.suppress(OSError):  # it is broken: reading will tell
                    self.socket.shutdown(socket.SHUT_WR)
            self.watched = self._wants()
            return self.watched

    def _wants(self):
        """Requires _lock."""
        if not self.connected:
            return CLOSE
        if self.unsent:
            return WRITE
        if self._ends and not self._drains or (
                self.sends_no_more and not (self.request or self._waiting)):
            return CLOSE
        # A socket at its end is always readable: the loop would spin until the request ends.
        return 0 if self.sends_no_more or self._waiting else READ

    def read(self):
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.sends_no_more = True
            if self.on_disconnect:
                self.connected = False
        elif not self._ends:
            self._receive(data)

    def _receive(self, data):
        self.last_activity = time.monotonic()
        while data:
            request = self._coming = self._coming or self.server.new_request()
            data = data[request.received(data):]
            if request.completed:
                self._coming = None
                if not request.empty:
                    self._waiting.append(request)
            elif request.expect_continue and request.headers_finished and not self.request:
                request.expect_continue = False
                with self._lock:
                    self._put(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._next_turn(in_main_thread=True)

    def send_more(self):
        with self._lock:
            del self.unsent[:self._send(self.unsent)]
            self._lock.notify_all()
        self._next_turn()

    def close(self):
        """Called once, by the loop, which does not watch the socket any more."""
        with self._lock:
            self._break_off()
            self.socket.close()
        gone, self.on_disconnect = self.on_disconnect, None
        if gone:
            gone()

    def _next_turn(self, in_main_thread=False):
        """Serve the next request, if there is one and it is its turn."""
        with self._lock:
            if self.request or self.unsent or not self._waiting or not self.connected:
                return
            self.request = self._waiting.popleft()
        if in_main_thread and self._is_quick(self.request):
            self.service()
        else:
            self.server.workers.add_task(self)

    def _is_quick(self, request):
        """Whether MainThread may begin it: not `initialize`, which may start processes, and no
        message so long that it would hold up all other clients."""
        if request.refused or request.error:
            return True
        way = self._way(request) if request.body_bytes_received <= LONG else None
        session = way and way.session_of(request)
        return session is not None and session.initialized

    # -- called by MainThread or by a worker

    def service(self):
        """Serve the request whose turn it is. waitress's name for it."""
        if not self.connected:
            return
        request = self.request
        way = self._way(request)
        if request.error:
            self.answer(reply_to_error(request.error))
        elif request.refused:
            self.answer(request.refused)
        elif self.post or not way:
            self._run_view()
        else:
            try:
                reply = way.post(request, self)
            except Exception:  # a bug of ours
                log.exception("a POST failed")
                reply = BUG
            if reply:   # else the way calls `answer` or `become_stream` later
                self.answer(reply)

    def _way(self, request):
        """The way of a POST with a message; None for a request that has a view."""
        if request.command != "POST":
            return None
        return next((way for way in self.server.ways if way.takes(request)), None)

    def _run_view(self):
        task = waitress.task.WSGITask(self, self.request)
        task.response_headers.extend(self.request.cors)
        try:
            task.service()
        except ClientDisconnected:
            task.close_on_finish = True
        except Exception:  # a bug of ours
            log.exception("a view failed")
            if not task.wrote_header:
                self.answer(BUG)
                return
            task.close_on_finish = True
        self._finish(task.close_on_finish)

    def _finish(self, is_last, rest=b""):
        """The request has its whole answer, with this rest of it."""
        self.request.close()
        with self._lock:
            self._put(rest)
            self.request, self._ends = None, is_last
            if is_last:
                self._waiting.clear()
        self._next_turn()
        self._tell_loop()

    # -- called by any thread

    def answer(self, reply):
        """The reply to the request whose turn it is. Called once. Does not wait: all that was
        before has been sent."""
        self.on_disconnect = None
        is_last = self.request.is_last()
        self._finish(is_last, reply.to_bytes(self.request, is_last))

    def become_stream(self, post):
        """The POST becomes a stream of events: a worker calls post.as_stream(), in http/app.py."""
        self.post = post
        self.server.workers.add_task(self)

    def write_soon(self, data):
        """Called by waitress's task. Waits while more than MOST_UNSENT is unsent."""
        with self._lock:
            while len(self.unsent) > self._most_unsent:
                self._lock.wait()
            if self.connected:
                self._put(data)
        self._tell_loop()
        if not self.connected:
            raise ClientDisconnected
        return len(data)

    def _put(self, data):
        """Send the data. What the socket does not take is unsent. Requires _lock."""
        sent = 0 if self.unsent or not data else self._send(data)
        if sent < len(data):
            self.unsent += memoryview(data)[sent:]

    def _send(self, data):
        """How many of these bytes need not be kept. Requires _lock."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._break_off()
            return len(data)
        self.last_activity = time.monotonic()
        return sent

    def _break_off(self):
        """Nothing more is sent. Requires _lock."""
        self.connected = False
        self.unsent.clear()
        self._lock.notify_all()

    def _tell_loop(self):
        """Called after what it wants may have changed. The loop sets `watched` with the lock held:
        so either it has seen the change, or it is told."""
        if self._wants() != self.watched:
            self.server.loop.changed(self)

    def end_if_gone(self):
        """To be called after on_disconnect was set: the client may have hung up before that."""
        if self.sends_no_more and self.on_disconnect:
            self.disconnect()

    def check_client_disconnected(self):
        """waitress puts this method into the environment of a view, see client_connection_of."""
        return not self.connected

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
        """Called again and again, by the clock: what stays the same for so many looks ends."""
        stuck = bool(self.unsent or self._drains)
        seen = self.last_activity, stuck, self.request is None
        self._looks, self._seen = self._looks + 1 if seen == self._seen else 0, seen
        if stuck and self._looks == STUCK_LOOKS:
            log.info("a client has not read for too long: its connection ends")
            self.disconnect()
        elif self._looks == IDLE_LOOKS:
            with self._lock:
                self._ends = self._ends or not (self.request or self._waiting)
            self._tell_loop()

    def never_wait(self):
        """The loop has ended: no thread waits any more until the client reads."""
        self._most_unsent = float("inf")
        if len(self.unsent) > MOST_UNSENT:
            self.disconnect()


def client_connection_of(environ):
    """The ClientConnection that a WSGI request came in by."""
    return environ["waitress.client_disconnected"].__self__
