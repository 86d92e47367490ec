"""A whole router in one thread: real Router, Pool, Upstreams, Sessions and queues.

Only the edges are played here: a server is a list of what it was sent and a way to say things,
the clock is a number, a client is a session whose outbox can be looked into. So a test says what
happens, in order, and looks at what came out. No threads, no sockets, no sleeps.
"""

import itertools
import json
import sys
import threading
import traceback

from transports.fabric.messages import decode, encode
from transports.fabric.outbox import CLOSE
from transports.fabric.peers import StartFailed
from upstreams.config.entries import Entry
from upstreams.routing.router import Router
from upstreams.server.catalog import LISTS
from upstreams.sharing.pool import Pool


class FakeClock:
    """Time is a number. `advance` calls what has become due, in order."""

    def __init__(self):
        self.now = 0.0
        self.events = []
        self._count = itertools.count()

    def after(self, seconds, function, *arguments):
        event = (self.now + seconds, next(self._count), function, arguments)
        self.events.append(event)
        return event

    def forget(self, event):
        if event in self.events:
            self.events.remove(event)

    def advance(self, seconds):
        end = self.now + seconds
        while due := [event for event in self.events if event[0] <= end]:
            event = min(due, key=lambda event: event[:2])
            self.events.remove(event)
            self.now = event[0]
            event[2](*event[3])
        self.now = end


class FakeServer:
    """A connection whose other end the test plays. `received` is what the router sent to it.

    What it offers, it answers by itself: its start and the four lists. The rest is the test's.
    A legacy server refuses server/discover, a modern one initialize.
    """

    def __init__(self, label, offers):
        self.label, self.offers, self.pid = label, offers, 1
        self.received = []
        self.handshake = []     # the requests that began it
        self.started = self.closing = self.closed = False
        self.skipped = offers.get("skipped")    # see connections/process
        self.unread = offers.get("unread", False)

    def start(self, on_message, on_closed):
        if self.offers.get("missing"):
            raise StartFailed("the command was not found")
        self.started = True
        self._on_message, self._on_closed = on_message, on_closed

    def send(self, message):
        message = json.loads(json.dumps(message))
        if message.get("method") in ("server/discover", "initialize"):
            self.handshake.append(message)
            self.begins(message)
        elif message.get("method") in LISTS and message["method"] in self.offers.get("lists", ()):
            key = LISTS[message["method"]][1]
            self.says(id=message["id"], result={key: self.offers["lists"][message["method"]]})
        elif message.get("method") != "notifications/initialized":
            self.received.append(message)
            if message.get("method") == "subscriptions/listen" and self.offers.get("listens"):
                self.acknowledges(message)

    def begins(self, message):
        """`discovers`, `initializes`: how it answers these, if not by its era."""
        method = message["method"]
        if method == "initialize":
            self.initialize = message
        how = self.offers.get("discovers" if method == "server/discover" else "initializes")
        mine = {"server/discover": "modern", "initialize": "legacy"}[method]
        if how == "dies":
            self.dies()
        elif how == "silence":
            pass
        elif how or mine != self.offers.get("era", "legacy"):
            self.says(id=message["id"], error=how or {"code": -32601, "message": "not here"})
        elif self.offers.get("slow"):
            pass
        elif mine == "modern":
            self.answer_discover()
        else:
            self.answer_initialize()

    def answer_discover(self):
        self.says(id=self.handshake[0]["id"], result={
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": self.offers.get("capabilities", {}),
            "ttlMs": 0, "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": self.label, "version": "1"}},
            **({"instructions": self.offers["instructions"]} if "instructions" in self.offers
               else {})})

    def acknowledges(self, listen):
        """The server agrees to all that this subscriptions/listen asks for."""
        self.says(method="notifications/subscriptions/acknowledged", params={
            "_meta": {"io.modelcontextprotocol/subscriptionId": listen["id"]},
            "notifications": listen["params"]["notifications"]})

    def answer_initialize(self):
        self.says(id=self.initialize["id"], result={
            "protocolVersion": self.offers.get("revision", "2025-11-25"),
            "capabilities": self.offers.get("capabilities", {}),
            "serverInfo": {"name": self.label, "version": "1"},
            **({"instructions": self.offers["instructions"]} if "instructions" in self.offers
               else {})})

    def says(self, **message):
        """The server says this; it takes the way of every line, through bytes."""
        self._on_message(decode(encode({"jsonrpc": "2.0", **message})))

    def takes(self):
        """What the router sent since the last time, without "jsonrpc"."""
        taken, self.received = self.received, []
        return [{key: value for key, value in message.items() if key != "jsonrpc"}
                for message in taken]

    def take(self):
        """The one message that the router sent."""
        (message,) = self.takes()
        return message

    def dies(self, reason="exited with status 1: out of luck"):
        self.closed = True
        self._on_closed(reason)

    def close(self):
        self.closing = True
        if self.started and not self.closed and not self.offers.get("stubborn"):
            self.dies("exited with status 0")

    def join(self, seconds):
        return self.closed or not self.started

    def last_lines(self):
        return []


class Client:
    """A client on one surface; `gets` is what reached it on its stream."""

    def __init__(self, world, name=None):
        self._world = world
        self.session = world.router.open("test", name)
        self.outbox = self.session.outbox
        self._ids = itertools.count(1)

    def initialize(self, capabilities=None, version="2025-11-25"):
        """The whole handshake; returns the router's answer."""
        self.sends(id="init", method="initialize", params={
            "protocolVersion": version, "capabilities": capabilities or {},
            "clientInfo": {"name": "test", "version": "1"}})
        answers = self.gets()
        self.sends(method="notifications/initialized")
        return answers[-1]["result"] if answers else None

    def sends(self, reply_to=None, **message):
        self._world.router.handle(self.session, decode(encode({"jsonrpc": "2.0", **message})),
                                  self.outbox if reply_to is None else reply_to)

    def asks(self, method, id=None, **params):
        """Send a request; returns its id."""
        id = next(self._ids) if id is None else id
        self.sends(id=id, method=method, params=params)
        return id

    def gets(self):
        """What arrived since the last time, without "jsonrpc"; CLOSE at the end of the stream."""
        got = []
        while found := self.outbox.get(0):
            if found is CLOSE:
                return [*got, CLOSE]
            got += map(json.loads, found)
        for message in got:
            assert message.pop("jsonrpc") == "2.0"
        return got

    def get(self):
        """The one message that arrived."""
        (message,) = self.gets()
        return message

    def leaves(self):
        self._world.router.leave(self.session)


class World:
    """Servers by what they offer: World(github=offers(tools=["search"])). Clients come later.

    `open_life`: see Pool. `room(pool)` puts a room in, before the start. What a server offers
    under "config" is what the config says of it, as {"rename": {…}}.
    """

    def __init__(self, share=True, limit=100, entries=None, groups=None, open_life=None,
                 room=lambda pool: None, **servers):
        self.clock = FakeClock()
        self.servers = {}       # label → FakeServer: "github", then "github#7" and so on
        self.made = []          # every FakeServer there ever was
        self.offers = servers      # may be changed: the next process offers that
        entries = entries or {name: entry(name, **what.get("config", {}))
                              for name, what in servers.items()}
        self.pool = Pool(entries, self._connect, self.clock, {"name": "router", "version": "0"},
                         limit, share, open_life)
        self.router = Router(self.pool, self.clock, groups=groups)
        room(self.pool)
        self.pool.start()

    def _connect(self, entry, label):
        self.servers[label] = FakeServer(label, self.offers[entry.name])
        self.made.append(self.servers[label])
        return self.servers[label]

    def __getitem__(self, label):
        return self.servers[label]

    def own(self, name, client):
        """The server process that this client owns, holds, or lists from."""
        owned = [upstream for upstream in self.pool.owned(client.session)
                 if upstream.name == name]
        return self.servers[(owned or [client.session.upstreams[name]])[0].label]

    def client(self, name=None, capabilities=None, version="2025-11-25"):
        """A client that is past its initialize."""
        client = Client(self, name)
        client.initialize(capabilities, version)
        return client

    def new_client(self, name=None):
        """A client that has said nothing yet."""
        return Client(self, name)


def entry(name, **config):
    """The Entry of a server, with what the config says of it."""
    return Entry(name, "-", **{"prefix": f"{name}__", **{
        key: tuple(value.items()) if isinstance(value, dict) else
        tuple(value) if isinstance(value, list) else value for key, value in config.items()}})


def offers(tools=(), prompts=(), resources=(), templates=(), capabilities=None, **more):
    """What a FakeServer offers; a name stands for an item that has nothing but its name."""
    lists, said = {}, {}
    for method, items in zip(LISTS, (tools, prompts, resources, templates)):
        kind, _, key = LISTS[method]
        if items:
            said[kind] = {}
            lists[method] = [item if isinstance(item, dict) else {key: item} for item in items]
    for method in LISTS:
        if LISTS[method][0] in {**said, **(capabilities or {})} and method != "tasks/list":
            lists.setdefault(method, [])
    return {"capabilities": {**said, **(capabilities or {})}, "lists": lists, **more}


def resting_meanwhile(upstream, function):
    """function() asks this upstream for something at the very moment in which it is put to rest:
    it refuses requests, and what comes after it is not there yet."""
    thread = threading.Thread(target=function)
    with upstream.lock:
        assert upstream.life.pending.retire()
        thread.start()
        while thread.is_alive() and not any(
                frame.f_code.co_name == "has_put_to_rest"
                for frame, _ in traceback.walk_stack(sys._current_frames().get(thread.ident))):
            thread.join(0.01)
        assert thread.is_alive()
        upstream.rest()
    thread.join()
