"""Our end of a client's TCP connection.

A POST that carries a message bypasses WSGI and Flask, which would cost more than all the rest of
a call. MainThread begins it if that needs no waiting, and any thread that has the reply writes
it. So a call that waits for its server holds no thread. Everything else is served as waitress does
it: by a worker, through WSGI.

Requests are served one after another. The state is that of the request whose turn it is:

            it carries a message,          answer()
            or is refused
    NEW ───────────────────────► BEGUN ──────────────► ANSWERED ─── the reply is written ──► NEW
     │                             │  become_stream()
     │                             └─────────────────► STREAM ───── its view runs ─────────► NEW
     └──── anything else: its view runs ───────────────────────────────────────────────────► NEW

"NEW" on the right is the next request's: waitress may give it to a worker before the thread that
served the last one has returned. So the state is set before a request is given to waitress.

A client that does not read holds no worker but those that feed its streams: nothing is begun or
answered while something is unsent, and what makes no progress for a while is ended.

A client may close its sending side and still read. It gets the answers to what it has sent; but
while a call waits or a stream is open, that is how clients hang up, and it is taken for that.
"""

import contextlib
import logging
import os
import socket
import struct
import time

import waitress.channel
import waitress.task

log = logging.getLogger("router")

MOST_UNSENT = 2**20             # bytes of a stream for one slow client, before its worker waits
LONG = MOST_UNSENT - 2**13      # bytes that need no waiting, even with a header before them
RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)    # close at once, and drop the rest

NEW, BEGUN, ANSWERED, STREAM = "new", "begun", "answered", "stream"


class ClientConnection(waitress.channel.HTTPChannel):
    """What waitress calls a channel. `server.posts` knows which requests carry messages."""

    on_disconnect = None    # called once, by MainThread, if the client goes before its answer
    reply = None            # to the request that is ANSWERED
    post = None             # the POST that becomes a STREAM, for its view
    sends_no_more = False   # the client has closed its side, but may read
    _state = NEW
    _reading = False        # MainThread is in handle_read …
    _arrived = False        # … and has read a request whose turn it is
    _is_due = False         # the next step waits until all is sent. Written under outbuf_lock
    _is_last = False        # the request that is served is the last, see Parser
    _drains = False         # the rest of a body is read, and dropped, before the socket is closed
    _looks, _seen = 0, 0    # how often `look` has found it as it was, and how that was

    def __init__(self, server, *arguments, **more):
        super().__init__(_ServerOf(self, server), *arguments, **more)

    # -- called by the socket loop, in MainThread

    def parser_class(self, adj):
        return self.server.new_parser(adj)

    def readable(self):
        # A socket at its end is always readable: the loop would spin until the stream ends.
        return self._drains or (self.connected and not self.sends_no_more and super().readable())

    def writable(self):
        # While another thread writes, the loop cannot: that thread holds the lock, and the loop
        # would try again and again. So it waits until it is told, see write_soon. But above the
        # mark that thread is about to wait for the loop.
        # The lock is only tried, because the thread that asks holds the loop's lock.
        if not self.outbuf_lock.acquire(False):
            return self.will_close or self.total_outbufs_len > self.adj.outbuf_high_watermark
        self.outbuf_lock.release()
        return super().writable() or (self.sends_no_more and not self.requests)

    def handle_read(self):
        try:
            data = self.socket.recv(self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and not self._drains:
            self._receive(data)
        elif not data:
            if self.has_hung_up() or self.on_disconnect \
                    or not (self.requests or self.total_outbufs_len):
                self.handle_close()
            else:
                self.sends_no_more = True

    def _receive(self, data):
        self.last_activity = time.time()
        self._reading = True
        self.received(data)
        self._reading = False
        if self._arrived:
            self._arrived = False
            request = self.requests[0]
            if not self.total_outbufs_len and (
                    request.refused or self.server.posts.are_quick(request)):
                self.service()
            else:
                self.next_step()

    def handle_write(self):
        if self.sends_no_more and not self.requests:
            self.close_when_flushed = True
        super().handle_write()
        if self._is_due and self.connected and not self.total_outbufs_len:
            self.next_step()

    def handle_close(self):
        """The connection has ended, from either side. waitress calls this also in a worker that
        cannot send 100 Continue; but only MainThread may close, since it goes through all."""
        if not self.server._map.is_mine():
            self.disconnect()
            return
        if self._is_last and self.connected:
            self._drain()
            return
        with self.outbuf_lock:  # `disconnect` must not meet a socket that is being closed
            super().handle_close()
        gone, self.on_disconnect = self.on_disconnect, None
        if gone:
            gone()

    def _drain(self):
        """All is sent, but the client may be sending still: closed now, the system would answer
        that with a reset, and the client might lose our answer."""
        self._is_last, self._drains = False, True
        self.will_close = self.close_when_flushed = False
        with contextlib.suppress(OSError):  # it is broken: reading will tell
            self.socket.shutdown(socket.SHUT_WR)

    # -- called by MainThread or by a worker

    def service(self):
        """The next step of the request whose turn it is. waitress's name for it."""
        if self._state is ANSWERED:
            self._serve(ReplyTask)
        elif self._state is STREAM or not self._begin(self.requests[0]):
            self._serve(waitress.task.WSGITask)

    def _begin(self, request):
        """False if a view serves the request."""
        transport = self.server.posts.find(request)
        if request.error or not (request.refused or transport):
            return False
        self._state = BEGUN
        reply = request.refused or self.server.posts.begin(transport, self)
        if reply is not None:
            self.answer(reply)
        return True

    def _serve(self, task_class):
        """waitress serves the request to its end: it makes a task of this class and runs it."""
        self._is_last = self.requests[0].is_last()
        self._state, self.task_class = NEW, task_class
        super().service()

    # -- called by any thread

    def answer(self, reply):
        """The reply to the POST that was begun. A worker writes it if that may have to wait."""
        self.reply, self._state, self.on_disconnect = reply, ANSWERED, None
        if len(reply.body) > LONG or self.total_outbufs_len:
            self.next_step()
        else:
            self._serve(ReplyTask)

    def become_stream(self, post):
        """The POST that was begun becomes a stream of events: a worker runs its view."""
        self.post, self._state = post, STREAM
        self.next_step()

    def next_step(self):
        """A worker calls `service`, as soon as the client has read what is unsent."""
        with self.outbuf_lock:
            is_due = self._is_due = self.connected and self.total_outbufs_len > 0
        if is_due:
            self.server.pull_trigger()  # the loop may have asked `writable` while we had the lock
        else:
            self.server.task_dispatcher.add_task(self)

    def write_soon(self, data):
        """Called by waitress to write; this waits while more than MOST_UNSENT is unsent."""
        super()._flush_outbufs_below_high_watermark()
        written = super().write_soon(data)
        # The loop may have asked `writable` while this thread had the lock, and was told no.
        self.server.pull_trigger()
        return written

    def _flush_outbufs_below_high_watermark(self):
        """waitress waits here in write_soon, which does so itself, and between two requests: no
        worker shall wait there, see next_step."""

    def has_hung_up(self):
        """Whether the client has closed its connection, or its side of it."""
        return self.sends_no_more or not self.connected

    def disconnect(self):
        """End the connection, even if the thread that feeds it waits for the client to read."""
        with self.outbuf_lock:
            self.connected = False
            self.will_close = True
            self.outbuf_lock.notify_all()
            # The loop hears nothing of a socket that takes no more bytes, unless it is shut down;
            # and without a reset the system would go on to offer what the client does not read.
            if self.socket is not None:
                with contextlib.suppress(OSError):  # the client has closed it already
                    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    self.socket.shutdown(socket.SHUT_RDWR)
        self.server.pull_trigger()

    def look(self, most):
        """Called again and again: when it has been the same so many times, it ends."""
        seen = self.last_activity
        if seen != self._seen or not (self.total_outbufs_len or self._drains):
            self._looks, self._seen = 0, seen
            return
        self._looks += 1
        if self._looks == most:
            log.info("a client has not read for too long: its connection ends")
            self.disconnect()


def client_connection_of(environ):
    """The ClientConnection that a WSGI request came in by."""
    return environ["waitress.client_disconnected"].__self__


class ReplyTask(waitress.task.Task):
    """Writes the reply to a request, in one piece."""

    complete = True

    def __init__(self, client_connection, request):
        super().__init__(client_connection, request)
        reply, client_connection.reply = client_connection.reply, None
        self.status, self._body = reply.status, reply.body
        self.response_headers = [*reply.headers, *request.cors]
        self.content_length = len(reply.body)

    def execute(self):
        if self.request.is_last():
            self.set_close_on_finish()
        header = self.build_response_header()
        self.wrote_header = True
        self.channel.write_soon(header if self.request.command == "HEAD" else header + self._body)


class _ServerOf:
    """waitress's server as one connection sees it, so that the loop learns which has changed."""

    def __init__(self, client_connection, server):
        self._client_connection, self._server = client_connection, server

    def __getattr__(self, name):
        return getattr(self._server, name)

    def pull_trigger(self):
        if self._server._map.changed(self._client_connection):
            self._server.pull_trigger()

    def add_task(self, client_connection):
        """A request waits to be served. waitress calls this while it holds `requests_lock`: if it
        is MainThread that has just read the request, handle_read serves it after that."""
        if client_connection._reading and self._server._map.is_mine():
            client_connection._arrived = True
        else:
            client_connection.next_step()
