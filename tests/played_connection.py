"""A client's TCP connection, played: what becomes of a POST, without a socket."""

import json

from waitress.adjustments import Adjustments

from transports.http.request import Request
from transports.http.workers import Workers

from by_hand import BOTH

HEARTBEAT = 15


class Connection:
    """What a ClientConnection is to a transport. `answers`: the replies that it was given;
    `streams`: the WaitingPosts that became streams."""

    def __init__(self):
        self.connected, self.on_disconnect = True, None
        self.answers, self.streams = [], []
        self.become_stream = self.streams.append
        self.closes = False     # at once when it has its answer

    def answer(self, reply):
        self.answers.append(reply)
        self.connected = not self.closes
        self.is_answered()

    def is_answered(self):
        self.on_disconnect = None

    def disconnect(self):
        self.connected = False

    def when_gone(self, call):
        self.on_disconnect = call
        if not self.connected:
            self.breaks()

    def breaks(self):
        self.connected = False
        gone, self.on_disconnect = self.on_disconnect, None
        gone()

    def environ(self):
        """Where a view finds its connection."""
        return {"router.connection": self}


class Streams(Workers):
    """Counts streams, and has no threads: a test runs the views itself."""

    def __init__(self):
        super().__init__(10)

    def _count(self, change):
        self.streams += change


def waiting_posts(router):
    """The WaitingPosts about which nothing is decided."""
    return [stream.post for session in router.sessions.all()
            for stream in session.streams.values() if stream.post]


def request(message, session=None):
    """A POST, as waitress parses it."""
    body = json.dumps({"jsonrpc": "2.0", **message})
    head = ["POST /mcp HTTP/1.1", f"Accept: {BOTH}", "Content-Type: application/json",
            f"Content-Length: {len(body)}"]
    if session:
        head.append(f"Mcp-Session-Id: {session.id}")
    return parsed("\r\n".join([*head, "", body]).encode())


def parsed(data):
    """The Request of these bytes; whoever sends it is let in."""
    request = Request(lambda method, path, header: (None, []), [], {}, Adjustments())
    while not request.completed:
        data = data[request.received(data):]
    return request


def posted(way, request, connection, quickly=False):
    """What the way in answers."""
    return way.post(request, way.reads(request), connection, quickly)
