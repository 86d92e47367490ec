"""Our end of a client's TCP connection.

A POST that carries a message bypasses WSGI and Flask, which would cost more than all the rest of
a call. MainThread begins it if that needs no waiting, and any thread that has the reply writes
it. So a call that waits for its server holds no thread. Everything else is served as waitress does
it: by a worker, through WSGI.

Requests are served one after another. The state is that of the request whose turn it is:

            it carries a message           answer()
    NEW ───────────────────────► BEGUN ──────────────► ANSWERED ─── the reply is written ──► NEW
     │                             │  become_stream()
     │                             └─────────────────► STREAM ───── its view runs ─────────► NEW
     └──── anything else: its view runs ───────────────────────────────────────────────────► NEW

"NEW" on the right is the next request's: waitress may give it to a worker before the thread that
served the last one has returned. So the state is set before a request is given to waitress.
"""

import waitress.channel
import waitress.task

from .parser import Parser

MOST_UNSENT = 2**20             # bytes for one slow client, before a thread that writes waits
LONG = MOST_UNSENT - 2**13      # bytes that need no waiting, even with a header before them

NEW, BEGUN, ANSWERED, STREAM = "new", "begun", "answered", "stream"


class ClientConnection(waitress.channel.HTTPChannel):
    """What waitress calls a channel. `server.posts` knows which requests carry messages."""

    parser_class = Parser
    on_disconnect = None    # called once, by MainThread, if the client goes before its answer
    cors = ()               # headers for the reply to a POST
    reply = None            # to the POST that is ANSWERED
    post = None             # the POST that becomes a STREAM, for its view
    _state = NEW
    _reading = False        # MainThread is in handle_read …
    _arrived = False        # … and has read a request whose turn it is

    def __init__(self, server, *arguments, **more):
        super().__init__(_ServerOf(self, server), *arguments, **more)

    # -- called by the socket loop, in MainThread

    def readable(self):
        # A socket at its end is always readable: the loop would spin until the stream ends.
        return self.connected and super().readable()

    def writable(self):
        # While another thread writes, the loop cannot: that thread holds the lock, and the loop
        # would try again and again. So it waits until it is told, see write_soon. But above the
        # mark that thread is about to wait for the loop.
        # The lock is only tried, because the thread that asks holds the loop's lock.
        if not self.outbuf_lock.acquire(False):
            return self.will_close or self.total_outbufs_len > self.adj.outbuf_high_watermark
        self.outbuf_lock.release()
        return super().writable()

    def handle_read(self):
        self._reading = True
        super().handle_read()
        self._reading = False
        if self._arrived:
            self._arrived = False
            if not self.total_outbufs_len and self.server.posts.are_quick(self.requests[0]):
                self.service()
            else:
                self.server.add_task(self)

    def handle_close(self):
        super().handle_close()
        gone, self.on_disconnect = self.on_disconnect, None
        if gone:
            gone()

    # -- called by MainThread or by a worker

    def service(self):
        """The next step of the request whose turn it is. waitress's name for it."""
        if self._state is NEW:
            transport = self.server.posts.find(self.requests[0])
            if transport:
                self._begin(transport)
            else:
                self._serve(waitress.task.WSGITask)
        elif self._state is ANSWERED:
            self._serve(ReplyTask)
        else:
            self._serve(waitress.task.WSGITask)

    def _begin(self, transport):
        self._state = BEGUN
        reply = self.server.posts.begin(transport, self)
        if reply is not None:
            self.answer(reply)

    def _serve(self, task_class):
        """waitress serves the request to its end: it makes a task of this class and runs it."""
        self._state, self.task_class = NEW, task_class
        super().service()

    # -- called by any thread

    def answer(self, reply):
        """The reply to the POST that was begun. A worker writes it if that may have to wait."""
        self.reply, self._state, self.on_disconnect = reply, ANSWERED, None
        if len(reply.body) > LONG or self.total_outbufs_len:
            self.server.add_task(self)
        else:
            self._serve(ReplyTask)

    def become_stream(self, post):
        """The POST that was begun becomes a stream of events: a worker runs its view."""
        self.post, self._state = post, STREAM
        self.server.add_task(self)

    def write_soon(self, data):
        """Called by waitress to write; this waits while more than MOST_UNSENT is unsent."""
        written = super().write_soon(data)
        # The loop may have asked `writable` while this thread had the lock, and was told no.
        self.server.pull_trigger()
        return written

    def disconnect(self):
        """End the connection, even if the thread that feeds it waits for the client to read."""
        with self.outbuf_lock:
            self.connected = False
            self.will_close = True
            self.outbuf_lock.notify_all()
        self.server.pull_trigger()


def client_connection_of(environ):
    """The ClientConnection that a WSGI request came in by."""
    return environ["waitress.client_disconnected"].__self__


class ReplyTask(waitress.task.Task):
    """Writes the reply to a POST, in one piece."""

    complete = True

    def __init__(self, client_connection, request):
        super().__init__(client_connection, request)
        reply, client_connection.reply = client_connection.reply, None
        self.status, self._body = reply.status, reply.body
        self.response_headers = [*reply.headers, *client_connection.cors]
        self.content_length = len(reply.body)

    def execute(self):
        header = self.build_response_header()
        self.wrote_header = True
        self.channel.write_soon(header + self._body)


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
            self._server.task_dispatcher.add_task(client_connection)
