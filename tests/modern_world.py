"""Modern clients of a world in one thread: each request has a Peer of its own for what it gets."""

import functools
import itertools
import json

from transports.fabric.messages import Refused, decode, encode
from transports.stateless.pipe import Pipe
from transports.stateless.stateless import Stateless
from upstreams.eras import open_life

import world

META = "io.modelcontextprotocol/"
TASKS = {"extensions": {META + "tasks": {}}}
World = functools.partial(world.World, open_life=open_life)


def meta(capabilities=None, **more):
    return {META + "protocolVersion": "2026-07-28", META + "clientCapabilities":
            capabilities or {}, META + "clientInfo": {"name": "modern", "version": "1"}, **more}


class Asked:
    """One request, and what has come for it."""

    def __init__(self):
        self.got = []

    def send(self, message):
        message = json.loads(encode(message))
        assert message.pop("jsonrpc") == "2.0"
        self.got.append(message)

    def gets(self):
        """What has come since the last time."""
        got, self.got = self.got, []
        return got

    def get(self):
        (message,) = self.gets()
        return message

    def leaves(self):
        """Its client hangs up."""
        self.session.left(self)


class ModernClient:
    """A client of one surface, over HTTP as far as the routing knows."""

    def __init__(self, world, name=None, capabilities=None):
        self._stateless, self._name = stateless_of(world), name
        self._capabilities, self._ids = capabilities, itertools.count(1)

    def asks(self, method, id=None, _meta=None, **params):
        """Send a request; returns an Asked."""
        id, asked = next(self._ids) if id is None else id, Asked()
        params["_meta"] = {**meta(self._capabilities), **(_meta or {})}
        message = decode(encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
        try:
            asked.session = self._stateless.serve(message, asked, "test", self._name)
        except Refused as problem:
            asked.send(problem.answer(id))
        return asked


def stateless_of(world):
    if not hasattr(world, "stateless"):
        world.stateless = Stateless(world.router)
    return world.stateless


def modern(**more):
    """What a modern server offers."""
    return world.offers(**{"tools": ["t"], "era": "modern", **more})


def legacy(**more):
    return world.offers(**{"tools": ["t"], **more})


class PipedClient(world.Client):
    """A client of either era on the one pipe of a World(share=False)."""

    def __init__(self, world):
        self._pipe = Pipe(world.router)
        self.session = self._pipe.open("stdio")
        self.outbox = self.session.outbox
        self._world, self._ids = world, itertools.count(1)

    def sends(self, reply_to=None, **message):
        self._pipe.handle(self.session, decode(encode({"jsonrpc": "2.0", **message})),
                          self.outbox if reply_to is None else reply_to)

    def asks_modern(self, method, id, capabilities=None, **params):
        """Send a modern request."""
        self.sends(id=id, method=method, params={**params, "_meta": meta(capabilities)})

    def cancels(self, id):
        self.sends(method="notifications/cancelled", params={"requestId": id})
