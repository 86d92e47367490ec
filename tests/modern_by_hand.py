"""A client of revision 2026-07-28 by hand, over HTTP: it can do everything wrong."""

import base64
import json

from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, MODERN_REVISION,
                                        VERSION_KEY, dig)
from transports.stateless.http_post import StatelessHttp

from by_hand import BOTH
from played_connection import HEARTBEAT, Connection, Streams, parsed, posted

META = {VERSION_KEY: MODERN_REVISION, CAPABILITIES_KEY: {},
        CLIENT_INFO_KEY: {"name": "by hand", "version": "1"}}
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
         "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}


def asks(method, id=1, meta={}, **params):
    """A request. `meta`: more for its `_meta`; a key with None is left out."""
    both = {key: value for key, value in {**META, **meta}.items() if value is not None}
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": both}}


def calls(name, id=1, meta={}, **arguments):
    return asks("tools/call", id, meta, name=name, arguments=arguments)


def in_base64(text):
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def headers_of(message):
    """Those that a client sends, in order. A name that is not plain is encoded."""
    found = {"Host": "localhost", "Accept": BOTH, "Content-Type": "application/json",
             "MCP-Protocol-Version": MODERN_REVISION, "Mcp-Method": message.get("method")}
    name = dig(message, "params", NAMES.get(message.get("method")))
    if isinstance(name, str):
        found["Mcp-Name"] = name if name.isascii() and name.isprintable() else in_base64(name)
    return found


def post(message, path="/mcp", lines=(), body=None, **headers):
    """The bytes of a POST. `headers` replace others, with _ for -, and None takes one away;
    `lines` are more, as they are: bytes."""
    body = json.dumps(message).encode() if body is None else body
    both = {name.lower(): value for name, value in [
        *headers_of(message if isinstance(message, dict) else {}).items(),
        ("Content-Length", len(body)),
        *((name.replace("_", "-"), value) for name, value in headers.items())]}
    return b"\r\n".join([f"POST {path} HTTP/1.1".encode(),
                         *(f"{name}: {value}".encode() for name, value in both.items()
                           if value is not None), *lines, b"", body])


class Played:
    """The way in of a world, over connections that are played. With `behind`, that of legacy
    clients stands behind it."""

    def __init__(self, world, behind=None):
        self.world, self.streams = world, Streams()
        more = world.router, world.clock, self.streams, HEARTBEAT
        self.way = StatelessHttp(behind and behind(*more), *more)

    def posts(self, message, path="/mcp", **more):
        """The Connection of a POST; `reply` is what it was answered with at once, or None."""
        connection = Connection()
        connection.reply = posted(self.way, parsed(post(message, path, **more)), connection)
        return connection

    def answer(self, message, path="/mcp", **more):
        """(status, the message in it) of a POST that is answered now."""
        return self.answered(self.posts(message, path, **more))

    def answered(self, connection):
        (reply,) = [connection.reply] if connection.reply else connection.answers
        return int(reply.status[:3]), json.loads(reply.body) if reply.body else None


def error_of(answer):
    """(status, code) of an answer that is an error."""
    status, message = answer
    return status, message["error"]["code"]
