"""Our end of a client's TCP connection: waitress's, and what a message's shortest way needs.

A POST that carries a message is not given to WSGI and Flask, which would cost more than all the
rest of a call. It is begun here, by MainThread where that needs no waiting, and answered by
`answer`, at once or later, by whatever thread has the answer. So a call that waits for its server
holds no thread. Everything else is served as waitress does it: by a worker, through WSGI.
"""

import waitress.channel
import waitress.parser
import waitress.task
from waitress.buffers import OverflowableBuffer
from waitress.receiver import FixedStreamReceiver

MOST_UNSENT = 2**20             # bytes for one slow client, before a thread that writes waits
LONG = MOST_UNSENT - 2**13      # what no thread waits for, with a header on top
KNOWN_HEADERS = 500
LONGEST_KNOWN = 2000


class Parser(waitress.parser.HTTPRequestParser):
    """A client sends the same few headers with all its messages: a known one is not parsed anew.

    Measured: 10 % of the time of a call. What is kept is what waitress made of the same bytes.
    """

    _known = {}     # header → the attributes that parsing it has set; used by MainThread only

    def header(self, name, default=None):
        return self.headers.get(name.upper().replace("-", "_"), default)

    def body(self):
        """The whole body as bytes."""
        return self.get_body_stream().read()

    def parse_header(self, header):
        if header in self._known:
            vars(self).update(self._known[header])
            self.body_rcv = FixedStreamReceiver(self.content_length,
                                                OverflowableBuffer(self.adj.inbuf_overflow))
            return
        before = {*vars(self), "body_rcv"} - {"headers"}
        super().parse_header(header)
        if len(header) <= LONGEST_KNOWN and isinstance(self.body_rcv, FixedStreamReceiver):
            if len(self._known) >= KNOWN_HEADERS:
                self._known.clear()
            self._known[header] = {name: value for name, value in vars(self).items()
                                   if name not in before}


class ClientConnection(waitress.channel.HTTPChannel):
    """waitress's end of a TCP connection; `server.posts` knows our POSTs, see http.py."""

    parser_class = Parser
    on_disconnect = None    # called, once, when the connection ends before its answer does
    begun = None            # what its transport needs to make a stream of a POST
    cors = ()               # headers for the answer to a POST
    _reading = False        # in handle_read
    _arrived = False        # a request was read, and waits for a thread to serve it
    _begun = False          # the request is under way: `answer` or `go_on` comes next
    _reply = None

    def __init__(self, server, *arguments, **more):
        super().__init__(_ServerOf(self, server), *arguments, **more)

    # -- called by MainThread

    def readable(self):
        # A socket at its end is always readable: the loop would spin until the stream ends.
        return self.connected and super().readable()

    def writable(self):
        # While another thread writes there is something to write, but the loop cannot: the thread
        # holds the lock. It would try again and again, and fight for the interpreter. So it waits
        # to be told, see write_soon; above the mark the thread is about to wait, for the loop.
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

    # -- called by any thread

    def service(self):
        """Serve the request whose turn it is."""
        post = None if self._begun else self.server.posts.find(self.requests[0])
        if post is None:
            self._begun = False
            super().service()
            return
        self._begun = True
        reply = self.server.posts.begin(post, self)
        if reply is not None:
            self.answer(reply)

    def answer(self, reply):
        """Answer the request that was begun; a worker does, where one may have to wait."""
        self._reply, self.on_disconnect = reply, None
        if len(reply.body) > LONG or self.total_outbufs_len:
            self.server.add_task(self)
        else:
            self.service()

    def go_on(self, begun):
        """The request that was begun becomes a stream of events: a worker runs the view."""
        self.begun = begun
        self.server.add_task(self)

    def task_class(self, _channel, request):
        """waitress calls this where it has a class: what is to be done with a request now."""
        reply, self._reply = self._reply, None
        return (waitress.task.WSGITask(self, request) if reply is None
                else ReplyTask(self, request, reply, self.cors))

    def write_soon(self, data):
        written = super().write_soon(data)
        self.server.pull_trigger()  # the loop may have asked meanwhile: it could not see the end
        return written

    def abandon(self):
        """End the connection although its thread may wait for the client to read."""
        with self.outbuf_lock:
            self.connected = False
            self.will_close = True
            self.outbuf_lock.notify_all()
        self.server.pull_trigger()


def channel_of(environ):
    """The channel that a WSGI request came in by."""
    return environ["waitress.client_disconnected"].__self__


class ReplyTask(waitress.task.Task):
    """The answer to a POST, in one piece."""

    complete = True

    def __init__(self, channel, request, reply, cors):
        super().__init__(channel, request)
        self.status, self._body = reply.status, reply.body
        self.response_headers = [*reply.headers, *cors]
        self.content_length = len(reply.body)

    def execute(self):
        header = self.build_response_header()
        self.wrote_header = True
        self.channel.write_soon(header + self._body)


class _ServerOf:
    """The server as one channel sees it: the loop learns whose wishes have changed."""

    def __init__(self, channel, server):
        self._channel, self._server = channel, server

    def __getattr__(self, name):
        return getattr(self._server, name)

    def pull_trigger(self):
        if self._server._map.changed(self._channel):
            self._server.pull_trigger()

    def add_task(self, channel):
        """A request waits to be served. waitress calls this while it holds a lock of the channel;
        if it is MainThread that has just read it, handle_read goes on from there."""
        if channel._reading and self._server._map.is_mine():
            channel._arrived = True
        else:
            self._server.task_dispatcher.add_task(channel)
