"""A client's TCP connection, played: what becomes of a POST, without a socket."""

import json

from waitress.adjustments import Adjustments

from transports.http.engine.parser import Parser

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
        self.has_hung_up = lambda: not self.connected

    def answer(self, reply):
        self.answers.append(reply)
        self.on_disconnect, self.connected = None, not self.closes

    def disconnect(self):
        self.connected = False

    def breaks(self):
        self.connected = False
        gone, self.on_disconnect = self.on_disconnect, None
        gone()

    def is_gone(self):
        """Where a view finds its connection, see `client_connection_of`."""
        return not self.connected


def request(message, session=None):
    """A POST, as waitress parses it."""
    body = json.dumps({"jsonrpc": "2.0", **message})
    head = ["POST /mcp HTTP/1.1", f"Accept: {BOTH}", "Content-Type: application/json",
            f"Content-Length: {len(body)}"]
    if session:
        head.append(f"Mcp-Session-Id: {session.id}")
    parser = Parser(lambda method, path, header: (None, []), {}, Adjustments())
    data = "\r\n".join([*head, "", body]).encode()
    while not parser.completed:
        data = data[parser.received(data):]
    return parser
