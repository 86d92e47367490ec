"""Clients of revision 2026-07-28 before the router of world.py: each request by itself, as over
HTTP, or on a pipe between legacy messages."""

import functools
import itertools
import json

from transports.fabric.messages import decode, encode
from transports.stateless.pipe import Pipe
from transports.stateless.stateless import Stateless
from upstreams.eras import open_life

import world
from world import Client, offers

META = "io.modelcontextprotocol/"
TASKS = {"extensions": {META + "tasks": {}}}
ROOTS, FORM, URL = {"roots": {}}, {"elicitation": {}}, {"elicitation": {"form": {}, "url": {}}}

BothEras = functools.partial(world.World, open_life=open_life)  # a World with servers of either


def legacy(**more):
    """What a server offers."""
    return offers(**{"tools": ["t"], **more})


def modern(**more):
    return legacy(**{"era": "modern", **more})


def meta(capabilities, level=None, token=None, program="test"):
    """The `_meta` of a request of a client of this name."""
    return {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": capabilities,
            f"{META}clientInfo": {"name": program, "version": "1"},
            **({f"{META}logLevel": level} if level else {}),
            **({} if token is None else {"progressToken": token})}


class Exchange:
    """Where the answer to one request comes. A Peer."""

    def __init__(self):
        self.messages, self.session, self._seen = [], None, 0

    def send(self, message):
        message = json.loads(encode(message))
        assert message.pop("jsonrpc") == "2.0" and not self.is_answered()
        self.messages.append(message)

    def is_answered(self):
        return bool(self.messages) and "method" not in self.messages[-1]

    def gets(self):
        """What has come since the last time."""
        seen, self._seen = self._seen, len(self.messages)
        return self.messages[seen:]

    def get(self):
        (message,) = self.gets()
        return message

    @property
    def answer(self):
        """The result, without what every answer has, or the error."""
        assert self.is_answered(), self.messages
        answer = self.messages[-1]
        return answer.get("error") or {key: value for key, value in answer["result"].items()
                                       if key not in ("_meta", "ttlMs", "cacheScope")}

    @property
    def told(self):
        """What came before the answer."""
        return [message for message in self.messages if "method" in message]

    def is_asked(self):
        """[the questions], and the state to come back with."""
        answer = self.answer
        assert answer.get("resultType") == "input_required", answer
        return answer["inputRequests"], answer["requestState"]

    def hangs_up(self):
        self.session.left(self)


class ModernClient:
    """A client at one surface. `stateless`: see stateless_of."""

    def __init__(self, stateless, name=None, capabilities=None, transport="test",
                 exchange=Exchange):
        self.stateless, self.name, self.transport = stateless, name, transport
        self._new_exchange = exchange
        self.capabilities, self.program = capabilities or {}, "test"
        self._ids = itertools.count(1)

    def asks(self, method, level=None, token=None, capabilities=None, id=None, **params):
        """Send a request; returns its Exchange. Raises Refused, as the transport is told."""
        exchange = self._new_exchange()
        if capabilities is None:
            capabilities = self.capabilities
        id = next(self._ids) if id is None else id
        message = {"jsonrpc": "2.0", "id": id, "method": method,
                   "params": {**params, "_meta": meta(capabilities, level, token, self.program)}}
        exchange.session = self.stateless.serve(decode(encode(message)), exchange, self.transport,
                                                self.name)
        return exchange

    def calls(self, tool="t", state=None, answers=None, **more):
        """Call a tool; with a state, once more."""
        if state is not None:
            more["requestState"] = state
        if answers is not None:
            more["inputResponses"] = answers
        return self.asks("tools/call", name=tool, **more)


def stateless_of(world):
    """That of a world: made once."""
    world.stateless = getattr(world, "stateless", None) or Stateless(world.router)
    return world.stateless


def modern_client(world, name=None, capabilities=None):
    """A client of this world, at all servers together or at one surface."""
    return ModernClient(stateless_of(world), name, capabilities)


class PipedClient(Client):
    """A client of either era on the one pipe of a World(share=False)."""

    def __init__(self, world):
        self._pipe = Pipe(world.router)
        self.session = self._pipe.open("stdio")
        self.outbox = self.session.outbox
        self._world, self._ids = world, itertools.count(1)

    def sends(self, reply_to=None, **message):
        self._pipe.handle(self.session, decode(encode({"jsonrpc": "2.0", **message})),
                          self.outbox if reply_to is None else reply_to)

    def asks_modern(self, method, id=None, capabilities=None, level=None, token=None, **params):
        """Send a modern request; returns its id."""
        id = next(self._ids) if id is None else id
        self.sends(id=id, method=method,
                   params={**params, "_meta": meta(capabilities or {}, level, token)})
        return id

    def cancels(self, id):
        self.sends(method="notifications/cancelled", params={"requestId": id})

    def says_no_more(self):
        self.session.says_no_more()
