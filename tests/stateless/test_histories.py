"""Random histories with modern clients before legacy servers, and legacy clients beside them:
whatever happens in whatever order, nothing of one reaches another, and in the end nothing is left
parked or held.

Three servers: a as most are, b with "shared": true and c with "shared": false. Every call and
every question carries a serial number, so that a wrong delivery shows itself.
"""

import dataclasses

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modern_client import Exchange, ModernClient, stateless_of

from transports.fabric.messages import Refused
from transports.fabric.outbox import CLOSE
from transports.stateless.parked import PARKED_SECONDS
from upstreams.sharing.waiting import CALL_PATIENCE, IDLE_SECONDS, LAST_SECONDS

from world import World, entry, offers

SERVERS = {"a": None, "b": True, "c": False}    # name → "shared"
CAPABILITIES = [{"sampling": {}}, {"sampling": {}}, {"sampling": {}, "roots": {}}, {}]
PICK = st.integers(0, 10**6)    # taken modulo how many there are


@dataclasses.dataclass(eq=False)
class Call:
    """Of a modern client: a request, with its retries."""

    serial: int
    client: ModernClient
    tool: str
    exchange: Exchange = None   # where its client waits; None while it does not
    state: str = None           # with which its client may come back
    since: float = 0.0          # since when
    asked: dict = dataclasses.field(default_factory=dict)   # key → serial of the question
    used: list = dataclasses.field(default_factory=list)    # states that are good no more
    ended: bool = False


@dataclasses.dataclass(eq=False)
class Question:
    server: object              # a FakeServer
    serial: int
    of: object                  # the one call that it can belong to: a Call, or a serial; or None
    open: bool = True


class StatelessHistory(RuleBasedStateMachine):
    @initialize(limit=st.sampled_from([0, 1, 3, 100]))
    def the_router_starts(self, limit):
        self.world = World(
            limit=limit, entries={name: entry(name, shared=shared, healthy=0)
                                  for name, shared in SERVERS.items()},
            **{name: offers(tools=["t"], resources=[f"{name}:/"]) for name in SERVERS})
        self.pool, self.clock = self.world.pool, self.world.clock
        self.stateless = stateless_of(self.world)
        self.number = 0
        self.calls = {}         # serial → Call, of all that were ever made
        self.hosts = []         # legacy clients
        self.host_calls = {}    # serial → the host that made it, while that waits
        self.questions = {}     # serial → Question

    def next(self):
        self.number += 1
        return self.number

    def pick(self, things, number):
        things = list(things)
        return things[number % len(things)]

    def there(self, **what):
        """The calls that go on, with these things true or false."""
        return [call for call in self.calls.values() if not call.ended
                and all(bool(getattr(call, key)) == value for key, value in what.items())]

    # -- modern clients

    @rule(capabilities=st.sampled_from(CAPABILITIES), server=st.sampled_from("aaabc"),
          single=st.booleans())
    def a_modern_client_calls(self, capabilities, server, single):
        client = ModernClient(self.stateless, server if single else None, capabilities)
        call = Call(self.next(), client, "t" if single else f"{server}__t")
        self.calls[call.serial] = call
        call.exchange = client.calls(call.tool, arguments={"serial": call.serial})

    @precondition(lambda self: self.there(state=True))
    @rule(which=PICK, share=st.integers(0, 3), more=st.booleans())
    def it_comes_back(self, which, share, more):
        """With the answers to some of what it was asked."""
        call = self.pick(self.there(state=True), which)
        answers = {key: {"serial": serial} for number, (key, serial) in enumerate(
            call.asked.items()) if number != share}
        if more:
            answers["made up"] = {"serial": -1}
        state, call.state = call.state, None
        call.used.append(state)
        call.exchange = Exchange()  # for what comes at once
        call.exchange = call.client.calls(call.tool, state, answers,
                                          arguments={"serial": call.serial})

    @precondition(lambda self: self.calls)
    @rule(which=PICK, whose=PICK, how=st.sampled_from(["used", "foreign", "changed", "made up"]))
    def somebody_forges_a_state(self, which, whose, how):
        call, other = self.pick(self.calls.values(), which), self.pick(self.calls.values(), whose)
        state = {"used": call.used[-1] if call.used else None, "foreign": other.state,
                 "changed": call.state and call.state[:-1] + "!",
                 "made up": "mcp-local-router:made up"}[how]
        if state is None or how == "foreign" and other is call:
            return
        try:
            call.client.calls(call.tool, state, {key: {"serial": -1} for key in other.asked},
                              arguments={"serial": call.serial})
        except Refused:
            return
        raise AssertionError("it was taken")

    @precondition(lambda self: self.there(exchange=True))
    @rule(which=PICK)
    def it_hangs_up(self, which):
        call = self.pick(self.there(exchange=True), which)
        self.look()
        if call.exchange:
            call.exchange.hangs_up()
            call.ended, call.exchange = True, None

    # -- legacy clients

    @precondition(lambda self: len(self.hosts) < 2)
    @rule(capabilities=st.sampled_from(CAPABILITIES))
    def a_legacy_client_comes(self, capabilities):
        self.hosts.append(self.world.client(None, capabilities))

    @precondition(lambda self: self.hosts)
    @rule(which=PICK, server=st.sampled_from("abc"))
    def it_calls(self, which, server):
        host, serial = self.pick(self.hosts, which), self.next()
        self.host_calls[serial] = host
        host.asks("tools/call", id=serial, name=f"{server}__t", arguments={"serial": serial})

    @precondition(lambda self: self.hosts)
    @rule(which=PICK)
    def it_leaves(self, which):
        host = self.pick(self.hosts, which)
        self.look()
        self.hosts.remove(host)
        self.host_calls = {serial: each for serial, each in self.host_calls.items()
                           if each is not host}
        host.leaves()

    # -- servers

    def alive(self):
        return [server for server in self.world.made if server.started and not server.closed]

    def calls_at(self, server):
        """The serials of the calls there that somebody waits for."""
        serials = [message["params"]["arguments"]["serial"] for message in server.received
                   if message.get("method") == "tools/call"]
        return [serial for serial in serials if serial in self.host_calls
                or serial in self.calls and not self.calls[serial].ended]

    def asked(self):
        return [(server, message) for server in self.alive() for message in server.received
                if message.get("method") == "tools/call"]

    @precondition(lambda self: self.asked())
    @rule(which=PICK)
    def a_server_answers(self, which):
        server, message = self.pick(self.asked(), which)
        self.answer(server, message)

    def answer(self, server, message):
        server.received.remove(message)
        server.says(id=message["id"], result=message["params"]["arguments"])

    @precondition(lambda self: [server for server in self.alive() if self.calls_at(server)])
    @rule(which=PICK, roots=st.integers(0, 5), is_heard=st.booleans())
    def a_server_asks(self, which, roots, is_heard):
        server = self.pick([each for each in self.alive() if self.calls_at(each)], which)
        serial, here = self.next(), self.calls_at(server)
        of = here[0] if len(here) == 1 else None
        self.questions[serial] = Question(server, serial, self.calls.get(of, of))
        server.says(id=serial, method="roots/list" if not roots else "sampling/createMessage",
                    params={"serial": serial})
        if is_heard:
            self.clock.advance(0.06)

    def open_questions(self):
        return [question for question in self.questions.values()
                if question.open and not question.server.closed]

    @precondition(lambda self: self.open_questions())
    @rule(which=PICK)
    def it_takes_its_question_back(self, which):
        question = self.pick(self.open_questions(), which)
        question.open = False
        question.server.says(method="notifications/cancelled",
                             params={"requestId": question.serial})

    @precondition(lambda self: self.alive())
    @rule(which=PICK)
    def a_server_dies(self, which):
        self.pick(self.alive(), which).dies()

    @rule(server=st.sampled_from("abc"), slow=st.booleans())
    def the_next_processes_are(self, server, slow):
        self.world.offers[server]["slow"] = slow

    def starting(self):
        return [server for server in self.alive() if not server.closing
                and server.offers.get("slow") and hasattr(server, "initialize")
                and not getattr(server, "has_answered", False)]

    @precondition(lambda self: self.starting())
    @rule(which=PICK)
    def a_process_answers_initialize(self, which):
        server = self.pick(self.starting(), which)
        server.has_answered = True
        server.answer_initialize()

    @rule(seconds=st.sampled_from([0.06, 0.06, 1, 5, 31, 61, PARKED_SECONDS + 1]))
    def time_passes(self, seconds):
        for part in 0.06, seconds:  # what is asked now is heard of before it is given up
            self.clock.advance(part)
            for call in self.there(state=True):
                if call.state not in self.stateless.parked._waiting:
                    assert self.clock.now - call.since > PARKED_SECONDS - 1
                    call.used.append(call.state)
                    call.ended, call.state = True, None
            self.look()

    # -- what must hold after every step

    @invariant()
    def everybody_got_only_what_is_their_own(self):
        self.look()

    def look(self):
        for server in self.world.made:
            self.read_answers(server)
        for call in self.there(exchange=True):
            self.read(call)
        for host in self.hosts:
            self.read_host(host)
        assert self.world.router.health()["parkedCalls"] == len(self.there(state=True))

    def read_answers(self, server):
        for message in [each for each in server.received if "method" not in each]:
            server.received.remove(message)
            question = self.questions[message["id"]]
            assert question.server is server
            question.open = False
            if "result" in message:
                assert message["result"] == {"serial": question.serial}

    def read(self, call):
        if not call.exchange.is_answered():
            return
        answer, call.exchange = call.exchange.answer, None
        if answer.get("resultType") != "input_required":
            call.ended = True
            assert answer.get("serial", call.serial) == call.serial
            return
        call.state, call.asked, call.since = answer["requestState"], {}, self.clock.now
        for key, question in answer["inputRequests"].items():
            call.asked[key] = question["params"]["serial"]
            question = self.questions[call.asked[key]]
            assert question.of in (call, None)

    def read_host(self, host):
        for message in host.gets():
            if message is CLOSE or "list_changed" in message.get("method", "") \
                    or message.get("id") == "init":
                continue
            if "method" not in message:
                assert self.host_calls.pop(message["id"]) is host
                assert message.get("result", {}).get("serial", message["id"]) == message["id"]
            elif "id" in message:
                question = self.questions[message["params"]["serial"]]
                assert not isinstance(question.of, Call)
                assert question.of is None or self.host_calls.get(question.of, host) is host
                host.sends(id=message["id"], result={"serial": question.serial})

    @invariant()
    def a_process_that_may_ask_serves_one_modern_call_at_a_time(self):
        for server in self.alive():
            serials = self.calls_at(server)
            can = getattr(server, "initialize", {}).get("params", {}).get("capabilities")
            if can and len(serials) > 1:
                assert not any(serial in self.calls for serial in serials)

    # -- the end

    def teardown(self):
        for call in self.there(exchange=True):
            if call.serial % 2:     # the others wait for an answer
                call.exchange.hangs_up()
                call.ended, call.exchange = True, None
        for _ in range(6):
            self.everything_goes_on()
            self.clock.advance(CALL_PATIENCE + 1)
        self.clock.advance(PARKED_SECONDS + 1)
        for call in self.there():
            call.ended = call.ended or call.state
            call.state = None
        self.everything_goes_on()
        self.look()
        assert self.there() == []
        for host in self.hosts:
            host.leaves()
        self.everything_goes_on()
        for _ in range(2):
            self.clock.advance(IDLE_SECONDS + LAST_SECONDS + 1)
            self.everything_goes_on()
        self.nothing_is_left()

    def everything_goes_on(self):
        for name in SERVERS:
            self.world.offers[name]["slow"] = False
        while asked := self.asked() or self.starting():
            for each in asked:
                if isinstance(each, tuple):
                    self.answer(*each)
                else:
                    each.has_answered = True
                    each.answer_initialize()

    def nothing_is_left(self):
        assert self.world.router.sessions.all() == [] and not self.pool.sessions
        assert self.stateless.parked.size == 0 and not self.stateless.parked._waiting
        for server in self.pool.tables.servers.values():
            assert not (server.sessions or server.ending or any(server.waiting.values()))
            (use,) = server.uses
            assert use.owner is use.holder is None and use.holds == 0 and not use.listeners
            assert use.upstream.life.pending.calls() == [] and len(use.upstream.life.calls) == 0
        assert self.clock.events == []


TestStatelessHistory = StatelessHistory.TestCase
TestStatelessHistory.settings = settings(stateful_step_count=50, max_examples=50,
                                        deadline=None)
