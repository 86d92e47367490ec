"""Random histories with a modern server: whatever happens in whatever order, answers and questions
reach only those they are for, and in the end nothing is left."""

import functools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transports.fabric.outbox import CLOSE
from upstreams.eras import open_life

import world
from world import Client, offers

World = functools.partial(world.World, open_life=open_life)

PICK = st.integers(0, 10**6)  # taken modulo how many there are


class ModernHistory(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World(a=offers(tools=["t"], resources=["a:/"], era="modern", listens=True,
                                    capabilities={"resources": {"subscribe": True}}))
        self.clients = {}       # name → Client
        self.calls = {}         # (client's name, id) → "open" or "over"
        self.at_server = []     # (client's name, id, the server's id)
        self.asked = []         # (client's name, id of the question)
        self.number = 0

    def pick(self, things, number):
        things = list(things)
        return things[number % len(things)]

    def look(self):
        """What the server was sent, and what the clients got since the last time."""
        for message in self.world["a"].takes():
            params = message["params"]
            if message["method"] == "tools/call":
                name, id = params["arguments"]["of"]
                assert params["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == name
                for asker, _ in params.get("inputResponses", {}).values():
                    assert asker == name
                assert self.calls[name, id] == "open"
                self.at_server.append((name, id, message["id"]))
            elif message["method"] == "notifications/cancelled":
                self.at_server = [call for call in self.at_server
                                  if call[2] != params["requestId"]]
        for name, client in self.clients.items():
            self.read(name, client)

    def read(self, name, client):
        for message in client.gets():
            if message is CLOSE:
                continue
            if "id" in message and "method" in message:
                assert message["params"]["of"] == name
                self.asked.append((name, message["id"]))
            elif message.get("method") == "notifications/cancelled":
                self.asked.remove((name, message["params"]["requestId"]))
            elif "result" in message and message["result"].get("of"):
                assert message["result"]["of"] == [name, message["id"]]
                assert self.calls[name, message["id"]] == "open"
                self.calls[name, message["id"]] = "over"
            elif "error" in message and (name, message["id"]) in self.calls:
                assert self.calls[name, message["id"]] == "open"
                self.calls[name, message["id"]] = "over"

    @invariant()
    def every_question_belongs_to_a_call_that_goes_on(self):
        for name, client in self.clients.items():
            questions = client.session.pending.calls()
            assert not any(question.within.ended for question in questions)
            assert len(questions) == [asked for asked, _ in self.asked].count(name)

    @precondition(lambda self: len(self.clients) < 4 and self.number < 60)
    @rule(single=st.booleans())
    def a_client_comes(self, single):
        self.number += 1
        name = f"client {self.number}"
        self.clients[name] = client = Client(self.world, "a" if single else None)
        client.sends(id="init", method="initialize", params={
            "protocolVersion": "2025-11-25", "capabilities": {"roots": {}},
            "clientInfo": {"name": name, "version": "1"}})
        client.tool = "t" if single else "a__t"
        self.look()

    @precondition(lambda self: self.clients and len(self.at_server) < 9)
    @rule(whose=st.lists(PICK, min_size=1, max_size=6))
    def clients_call(self, whose):
        for who in whose:
            name = self.pick(self.clients, who)
            self.number += 1
            self.calls[name, self.number] = "open"
            self.clients[name].sends(id=self.number, method="tools/call", params={
                "name": self.clients[name].tool, "arguments": {"of": [name, self.number]}})
        self.look()

    @precondition(lambda self: self.at_server)
    @rule(which=PICK, questions=st.integers(0, 3), state=st.booleans())
    def the_server_asks(self, which, questions, state):
        call = self.pick(self.at_server, which)
        self.at_server.remove(call)
        name, _, server_id = call
        self.world["a"].says(id=server_id, result={
            "resultType": "input_required", **({"requestState": name} if state else {}),
            "inputRequests": {str(n): {"method": "roots/list", "params": {"of": name}}
                              for n in range(questions)}})
        self.look()

    @precondition(lambda self: self.at_server)
    @rule(which=PICK)
    def the_server_answers(self, which):
        call = self.pick(self.at_server, which)
        self.at_server.remove(call)
        self.world["a"].says(id=call[2], result={"of": call[:2]})
        self.look()

    @precondition(lambda self: self.asked)
    @rule(which=PICK, error=st.booleans(), twice=st.booleans())
    def a_client_answers(self, which, error, twice):
        name, id = self.pick(self.asked, which)
        self.asked.remove((name, id))
        answer = {"error": {"code": -1, "message": "no"}} if error else {"result": [name, id]}
        for _ in range(1 + twice):
            self.clients[name].sends(id=id, **answer)
        self.look()

    @precondition(lambda self: "open" in self.calls.values())
    @rule(which=PICK)
    def a_client_cancels(self, which):
        name, id = self.pick([key for key, how in self.calls.items() if how == "open"], which)
        self.calls[name, id] = "over"
        self.clients[name].sends(method="notifications/cancelled", params={"requestId": id})
        self.look()

    @precondition(lambda self: self.clients)
    @rule(who=PICK, uri=st.sampled_from(["a:/", "a:/x"]), on=st.booleans())
    def a_client_subscribes(self, who, uri, on):
        self.number += 1
        self.clients[self.pick(self.clients, who)].asks(
            "resources/subscribe" if on else "resources/unsubscribe", id=self.number, uri=uri)
        self.look()

    @precondition(lambda self: len(self.clients) > 2)
    @rule(who=PICK)
    def a_client_leaves(self, who):
        name = self.pick(self.clients, who)
        client = self.clients.pop(name)
        client.leaves()
        self.read(name, client)
        assert "open" not in [how for (asker, _), how in self.calls.items() if asker == name]
        self.asked = [asked for asked in self.asked if asked[0] != name]
        self.look()

    @rule(seconds=st.sampled_from([0.05, 0.3, 3]))
    def time_passes(self, seconds):
        self.world.clock.advance(seconds)
        self.look()

    @precondition(lambda self: len(self.at_server) + len(self.asked) > 4)
    @rule()
    def the_server_dies(self):
        self.world["a"].dies()
        self.at_server.clear()
        self.world.clock.advance(0.3)   # those that were to be asked for again fail then
        self.look()
        assert "open" not in self.calls.values()
        self.world.clock.advance(60)

    def teardown(self):
        self.world.clock.advance(3)
        for name in list(self.clients):
            client = self.clients.pop(name)
            client.leaves()
            assert len(client.session.calls) == len(client.session.pending) == 0
        (upstream,) = self.world.pool.upstreams()["a"]
        assert len(upstream.life.calls) == 0
        assert upstream.audience.uris() == upstream.audience.sessions() == []
        assert len(upstream.life.pending) <= 1  # the subscription, if the server lives


TestModernHistory = ModernHistory.TestCase
TestModernHistory.settings = settings(stateful_step_count=60)
