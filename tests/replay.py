"""Transcripts, replayed against a real router: documentation that runs.

The files named transcripts/*.txt beside the tests are in these words:

    groups {"code": ["github", "files"]}            in the config, mostly none
    servers {"github": {"tools": ["search"]}}       what there is, in tests/world.py's words
    client C                                        a client, past its handshake, on /sse
    client C2 /github {"roots": {}}                 on /sse/github; what it said it can be asked
    client C 2025-03-26                             in that revision
    C> {…}          the client sends this           S> {…}          and gets this
    C2> {…}         likewise, the second            S2> {…}
    github< {…}     the server is sent this         github> {…}     and says this
    github@C2< {…}  likewise the process that C2 owns or holds, or else lists from
    C leaves        github dies        12 seconds pass

"jsonrpc" is left out of every message. "$name" stands for a value that the router chose: at its
first appearance it may be anything, and later it is that again.
"""

import json
import re

from transports.fabric.outbox import CLOSE

from world import Client, World, offers


class Replay:
    """A transcript that is replayed. `open_life`: that of the World, for servers of other eras."""

    def __init__(self, open_life=None):
        self.world, self.groups, self.clients, self.values = None, {}, {}, {}
        self.open_life = open_life

    def run(self, text):
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("   # ")[0].strip()
            if line and not line.startswith("#"):
                try:
                    self.step(line)
                except AssertionError as problem:
                    raise AssertionError(f"line {number}: {line}\n{problem}") from None
        for name, client in self.clients.items():
            left = [message for message in client.buffer + client.gets()
                    if message is not CLOSE and "has ended" not in str(message)]
            assert left == [], f"{name} got more than that"
        for label, server in self.world.servers.items():
            assert server.takes() == [], f"{label} was sent more than that"

    def step(self, line):
        if found := re.fullmatch(r"(\S+)([<>]) (.*)", line):
            return self.message(*found.groups())
        if found := re.fullmatch(r"([0-9.]+) seconds pass", line):
            return self.world.clock.advance(float(found[1]))
        verb, _, rest = line.partition(" ")
        if verb == "groups":
            self.groups = json.loads(rest)
        elif verb == "servers":
            self.world = World(groups=self.groups, open_life=self.open_life, **{
                name: offers(**what) for name, what in json.loads(rest).items()})
        elif verb == "client":
            self.client(rest)
        elif rest == "leaves":
            self.clients[verb].leaves()
        else:
            assert rest == "dies", f"not understood: {line}"
            self.server(verb).dies()
        return None

    def client(self, what):
        name, surface, version, capabilities = re.fullmatch(
            r"(\S+)(?: /(\S+))?(?: (\d\S+))?(?: (\{.*\}))?", what).groups()
        self.clients[name] = client = Client(self.world, surface)
        client.initialize(json.loads(capabilities or "{}"), version or "2025-11-25")
        client.buffer = []

    def server(self, label):
        name, _, owner = label.partition("@")
        return self.world.own(name, self.clients[owner]) if owner else self.world[name]

    def message(self, who, direction, text):
        message = json.loads(text)
        client = self.clients.get(who.replace("S", "C"))
        if client and who.startswith("C"):
            client.sends(**self.filled(message))
        elif client:
            client.buffer += client.gets()
            assert client.buffer, "nothing arrived"
            self.same(message, client.buffer.pop(0))
        elif direction == "<":
            received = self.server(who).received
            assert received, "nothing was sent"
            self.same(message, {key: value for key, value in received.pop(0).items()
                                if key != "jsonrpc"})
        else:
            self.server(who).says(**self.filled(message))

    def filled(self, value):
        if isinstance(value, dict):
            return {key: self.filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        return self.values.get(value, value) if isinstance(value, str) else value

    def same(self, expected, actual):
        if isinstance(expected, str) and expected.startswith("$"):
            expected = self.values.setdefault(expected, actual)
        if isinstance(expected, dict) and isinstance(actual, dict):
            assert expected.keys() == actual.keys(), actual
            for key in expected:
                self.same(expected[key], actual[key])
        elif isinstance(expected, list) and isinstance(actual, list):
            assert len(expected) == len(actual), actual
            for one, other in zip(expected, actual):
                self.same(one, other)
        else:
            assert (type(expected), expected) == (type(actual), actual)
