"""Random histories of those who listen: each hears what it asked for, once, and nothing else."""

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from modern_client import META, BothEras, PipedClient, legacy, modern, modern_client

LISTEN, UPDATED = "subscriptions/listen", "notifications/resources/updated"
TOOLS = "notifications/tools/list_changed"
SUBSCRIPTION = META + "subscriptionId"
URIS = ["x:/1", "x:/2", "x:/3"]
CHANGES = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}


class Listening(RuleBasedStateMachine):
    """By requests of their own, or (share=False) on one pipe."""

    make, share = legacy, True

    def __init__(self):
        super().__init__()
        self.world = BothEras(share=self.share, a=self.make(
            resources=URIS, capabilities=CHANGES, listens=True, config={"healthy": 0}))
        self.pipe = None if self.share else PipedClient(self.world)
        self.open = {}      # id → (its Exchange, its URIs, whether it listens to tools)
        self.count, self.slow = 0, []   # requests that the legacy server has not answered

    def settle(self):
        """The server answers all that it was asked."""
        for message in self.world["a"].takes():
            if message["method"].startswith("resources/"):
                self.world["a"].says(id=message["id"], result={})
            elif message["method"] == LISTEN:
                self.listen = message

    def heard(self):
        """{id: what has come for it since the last time}."""
        if not self.pipe:
            return {id: exchange.gets() for id, (exchange, _, _) in self.open.items()}
        found = {id: [] for id in self.open}
        for message in self.pipe.gets():
            if "method" in message:
                found[message["params"]["_meta"][SUBSCRIPTION]].append(message)
        return found

    def expect(self, method, ids):
        heard = self.heard()
        assert {id: [message["method"] for message in heard[id]] for id in heard} == {
            id: [method] if id in ids else [] for id in self.open}

    @precondition(lambda self: len(self.open) < 4)
    @rule(uris=some.sets(some.sampled_from(URIS)), tools=some.booleans())
    def begins(self, uris, tools):
        self.count += 1
        asked, exchange = {"resourceSubscriptions": sorted(uris), "toolsListChanged": tools}, None
        if self.pipe:
            self.pipe.asks_modern(LISTEN, self.count, notifications=asked)
        else:
            exchange = modern_client(self.world).asks(LISTEN, id=self.count, notifications=asked)
        self.open[self.count] = exchange, uris, tools
        self.settle()
        (first,) = self.heard()[self.count]
        assert first["params"]["notifications"]["resourceSubscriptions"] == sorted(uris)

    @precondition(lambda self: self.open)
    @rule(data=some.data())
    def leaves(self, data):
        id = data.draw(some.sampled_from(sorted(self.open)))
        exchange, *_ = self.open.pop(id)
        exchange.hangs_up() if exchange else self.pipe.cancels(id)
        self.settle()

    def news(self, method, **params):
        if self.make is modern:
            params["_meta"] = {SUBSCRIPTION: self.listen["id"]}
        self.world["a"].says(method=method, params=params)

    @precondition(lambda self: self.open)
    @rule(uri=some.sampled_from(URIS))
    def a_resource_changes(self, uri):
        self.news(UPDATED, uri=uri)
        self.expect(UPDATED, [id for id, (_, uris, _) in self.open.items() if uri in uris])

    @precondition(lambda self: self.open)
    @rule()
    def the_tools_change(self):
        self.news(TOOLS)
        self.expect(TOOLS, [id for id, (_, _, tools) in self.open.items() if tools])

    @precondition(lambda self: self.open)
    @rule()
    def the_server_ends(self):
        self.world["a"].dies()
        self.world.clock.advance(60)    # and starts again
        self.settle()
        self.expect(TOOLS, [id for id, (_, _, tools) in self.open.items() if tools])

    def teardown(self):
        wanted = {uri for _, uris, _ in self.open.values() for uri in uris}
        audience = self.world.pool.upstreams()["a"][0].audience
        assert set(audience.uris()) == wanted
        for id in list(self.open):
            exchange, *_ = self.open.pop(id)
            exchange.hangs_up() if exchange else self.pipe.cancels(id)
            self.settle()
        assert audience.uris() == []
        assert len(self.world.router.sessions.all()) == (0 if self.share else 1)


@pytest.mark.parametrize("share", [True, False], ids=["requests", "pipe"])
@pytest.mark.parametrize("make", [legacy, modern])
def test_whoever_comes_and_goes_each_hears_its_own(make, share):
    machine = type("Listening", (Listening,), {"make": staticmethod(make), "share": share})
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    case("runTest").debug()
