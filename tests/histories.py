"""Random histories: whatever happens in whatever order, messages reach only those they are for,
and processes follow the calls.

One to five clients, some of which can be asked, before three servers: a as most are, b with
"shared": true and c with "shared": false. Every message carries a serial number, so that a wrong
delivery shows itself. At the end everybody leaves, time passes, and nothing may be left.
"""

import dataclasses
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from transports.fabric.outbox import CLOSE
from upstreams.config.entries import Entry
from upstreams.server.life import STARTING
from upstreams.sharing.tables import COMMON, OWN
from upstreams.sharing.waiting import CALL_PATIENCE, IDLE_SECONDS, LATE_SECONDS

from world import Client, World, offers

SERVERS = {"a": None, "b": True, "c": False}    # name → "shared"
ASKABLE = {"sampling": {}, "roots": {}}
# Equal ones often enough that clients meet at one process.
CAPABILITIES = [ASKABLE, ASKABLE, ASKABLE, {}, {"roots": {}, "experimental": {"x": 1}}]
PICK = st.integers(0, 10**6)  # taken modulo how many there are
IDS = st.sampled_from([0, 1, 2, "1", "a", 7.5])
TOKENS = st.sampled_from([None, 0, 1, "1", "t"])


@dataclasses.dataclass
class Sent:
    """A request of a client."""

    client: Client
    id: object
    token: object = None
    calls: str = None       # the server whose tool it calls
    ended: bool = False     # by an answer, by its client, or with it


@dataclasses.dataclass(eq=False)
class Question:
    """A request of a server."""

    server: object          # a FakeServer
    id: object
    roots: bool
    client: Client = None   # that may get it
    open: bool = True


class History(RuleBasedStateMachine):
    @initialize(limit=st.sampled_from([1, 2, 3, 100]))
    def the_router_starts(self, limit):
        entries = {name: Entry(name, "-", prefix=f"{name}__", shared=shared, healthy=0,
                               args=(name,), **self.more) for name, shared in SERVERS.items()}
        self.world = self.new_world(limit, entries)
        self.pool = self.world.pool
        self.limit, self.clock, self.entries = limit, self.world.clock, entries
        self.clients = []       # that are connected
        self.everybody = {}     # Session → Client, of those that have left as well
        self.alone_since = 0    # when there was last more or less than one client, or an end
        self.serial = 0
        self.sent = {}          # serial → Sent
        self.questions = {}     # serial → Question
        self.for_whom = {}      # serial → the clients that may get this log line or news
        self.withdrawn = []     # (when, Sent): calls whose client took them back, or left
        self.callers = {}       # Upstream → the clients whose calls it had
        self.learned = {}       # FakeServer → the client whose roots it asked for
        self.saw = {}           # FakeServer that another config ended → the clients that saw it

    more = {}       # what else an Entry has

    def new_world(self, limit, entries, **more):
        return World(limit=limit, entries=entries, groups={"group": sorted(SERVERS)}, **more, **{
            name: offers(tools=["t"], resources=[f"{name}:/"], capabilities={"logging": {}})
            for name in SERVERS})

    def number(self):
        self.serial += 1
        return self.serial

    def pick(self, things, number):
        things = list(things)  # in the order they came: their random ids must not matter
        return things[number % len(things)]

    # -- clients

    @precondition(lambda self: len(self.clients) < 5)
    @rule(capabilities=st.sampled_from(CAPABILITIES),
          surface=st.sampled_from([None, None, "group", "a", "b"]))
    def a_client_comes(self, capabilities, surface):
        if surface not in {None, "group", *self.entries}:
            return
        client = Client(self.world, surface)
        client.surface = surface if surface in SERVERS else None
        client.in_flight = {}       # id → serial
        client.to_answer = []       # (our id, serial of the question)
        client.uris = set()         # that it is subscribed to
        self.clients.append(client)
        self.everybody[client.session] = client
        self.one_request(client, "initialize", "initialize", protocolVersion="2025-11-25",
                         capabilities=capabilities, clientInfo={"name": "test", "version": "1"})

    def one_request(self, client, id, method, token=None, calls=None, **params):
        self.read(client)  # what was answered meanwhile has freed its id
        serial, in_use = self.number(), id in client.in_flight
        if not in_use:
            self.sent[serial] = Sent(client, id, token, calls)
            client.in_flight[id] = serial
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        arguments = {"arguments": {"serial": serial}} if calls else {}
        client.asks(method, id, **params, **arguments, **meta)
        if in_use:  # it is refused; the first goes on
            self.read(client, refused=id)

    @precondition(lambda self: self.clients)
    @rule(calls=st.lists(st.tuples(PICK, st.sampled_from("bbbac"), IDS, TOKENS), min_size=1,
                         max_size=6))
    def clients_call(self, calls):
        for who, server, id, token in calls:
            client = self.pick(self.clients, who)
            name = "t" if client.surface else f"{server}__t"
            self.one_request(client, id, "tools/call", token, client.surface or server, name=name)

    @precondition(lambda self: self.clients)
    @rule(who=PICK, server=st.sampled_from("abc"), method=st.sampled_from(
        ["tools/list", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"]))
    def a_client_asks_for_something_else(self, who, server, method):
        client = self.pick(self.clients, who)
        uri, params = f"{client.surface or server}:/", {}
        if method == "resources/subscribe":
            client.uris.add(uri)
        if method == "resources/unsubscribe":
            client.uris.discard(uri)
        if method.startswith("resources"):
            params = {"uri": uri}
        if method == "logging/setLevel":
            params = {"level": "info"}
        self.one_request(client, f"{method} {self.number()}", method, **params)

    def calling(self):
        return [client for client in self.clients
                if any(self.sent[serial].calls for serial in client.in_flight.values())]

    @precondition(lambda self: self.calling())
    @rule(who=PICK, which=PICK)
    def a_client_cancels(self, who, which):
        client = self.pick(self.calling(), who)
        serial = self.pick([serial for serial in client.in_flight.values()
                            if self.sent[serial].calls], which)
        self.withdraw(self.sent[serial])
        client.sends(method="notifications/cancelled",
                     params={"requestId": self.sent[serial].id})

    def withdraw(self, sent):
        """It must never be answered."""
        del sent.client.in_flight[sent.id]
        sent.ended = True
        self.withdrawn.append((self.clock.now, sent))

    @precondition(lambda self: any(client.to_answer for client in self.clients))
    @rule(who=PICK, which=PICK, twice=st.booleans())
    def a_client_answers_a_question(self, who, which, twice):
        client = self.pick([client for client in self.clients if client.to_answer], who)
        our_id, serial = client.to_answer.pop(which % len(client.to_answer))
        for _ in range(1 + twice):
            client.sends(id=our_id, result={"serial": serial})

    @precondition(lambda self: self.clients)
    @rule(who=PICK)
    def a_client_leaves(self, who):
        self.leave(self.pick(self.clients, who))

    def leave(self, client):
        self.read(client)
        self.clients.remove(client)
        for serial in list(client.in_flight.values()):
            self.withdraw(self.sent[serial])
        client.leaves()
        for server in self.world.made:
            self.read_answers(server)
        assert not any(question.open and question.client is client and not question.server.closing
                       for question in self.questions.values())
        assert len(client.session.calls) == len(client.session.pending) == 0

    # -- servers

    def alive(self):
        return [server for server in self.world.made if server.started and not server.closed]

    def life_of(self, server):
        """The life of a process, also of one that ends."""
        lives = [use.upstream.life for use in self.pool.tables.uses()]
        lives += [life for each in self.pool.all_servers() for life in each.ending]
        (life,) = {life for life in lives if life.connection is server}
        return life

    def upstream_of(self, server):
        return self.life_of(server).upstream

    def user(self, upstream):
        """The client that owns or holds this process, or None."""
        return self.everybody.get(upstream.use.owner or upstream.use.holder)

    def seen_by(self, upstream):
        return {self.everybody[session] for session in upstream.use.listeners}

    @rule(server=st.sampled_from("abc"), slow=st.booleans(), stubborn=st.booleans())
    def the_next_processes_are(self, server, slow, stubborn):
        """Slow to answer initialize, or stubborn when they are told to end."""
        self.world.offers[server].update(slow=slow, stubborn=stubborn)

    def starting(self):
        return [server for server in self.alive()
                if not server.closing and self.life_of(server).state == STARTING]

    @precondition(lambda self: self.starting())
    @rule(which=PICK)
    def a_process_answers_initialize(self, which):
        self.pick(self.starting(), which).answer_initialize()

    def asked(self):
        return [(server, message) for server in self.alive() for message in server.received
                if "method" in message and "id" in message]

    @precondition(lambda self: self.asked())
    @rule(picks=st.lists(PICK, min_size=1, max_size=5), progress=st.booleans(),
          again=st.booleans())
    def servers_answer(self, picks, progress, again):
        for pick in picks:
            if asked := self.asked():
                self.one_answer(*asked[pick % len(asked)], progress, again)

    def one_answer(self, server, message, progress=False, again=False):
        params = message["params"]
        result = params.get("arguments", {})  # that is, {"serial": …} for a call
        if progress and "_meta" in params:
            server.says(method="notifications/progress", params={
                "progressToken": params["_meta"]["progressToken"], **result, "progress": 1})
            return
        server.received.remove(message)
        for _ in range(1 + again):
            server.says(id=message["id"], result=result)

    @precondition(lambda self: self.alive())
    @rule(which=PICK, id=IDS, roots=st.sampled_from([False, False, False, True]))
    def a_server_asks(self, which, id, roots):
        server = self.pick(self.alive(), which)
        if any(question.open and (question.server, question.id) == (server, id)
               for question in self.questions.values()):
            return  # a server that reuses an id is another test's matter
        if self.life_of(server).over:
            return  # it is not heard any more
        upstream, serial = self.upstream_of(server), self.number()
        self.questions[serial] = question = Question(server, id, roots)
        use = upstream.use
        if use.can_ask and not server.closing:
            question.client = self.user(upstream)
            if question.client is None and not use.called:
                # It was made for this client; or else any that has none of its own answers.
                alone = [session for session, key in use.server.sessions.items()
                         if key == use.key and not use.server.of(session)]
                session = use.session if use.session in alone else next(iter(alone), None)
                question.client = self.everybody.get(session)
        server.says(id=id, method="roots/list" if roots else "sampling/createMessage",
                    params={"serial": serial})
        self.read_answers(server)
        assert question.open == (question.client in self.clients)
        if roots and question.open:
            self.learned[server] = question.client

    def open_questions(self):
        return [question for question in self.questions.values() if question.open]

    @precondition(lambda self: self.open_questions())
    @rule(which=PICK)
    def a_server_takes_its_question_back(self, which):
        question = self.pick(self.open_questions(), which)
        question.server.says(method="notifications/cancelled", params={"requestId": question.id})
        self.is_over(question)

    def is_over(self, question):
        """Whoever was asked has heard that it need not answer."""
        question.open = False
        for client in self.clients:
            self.read(client)
            assert question not in [self.questions[serial] for _, serial in client.to_answer]

    @precondition(lambda self: self.alive())
    @rule(which=PICK, level=st.sampled_from(["debug", "error"]))
    def a_server_logs(self, which, level):
        server, serial = self.pick(self.alive(), which), self.number()
        upstream = self.upstream_of(server)
        user = self.user(upstream)
        callers = [user] if user else {self.sent[call].client for call in self.calls_at(server)}
        if not callers:     # it concerns the only one that ever asked something there
            askers = self.life_of(server).pending.askers()
            callers = {self.everybody[session] for session in askers if session}
        # It may concern a list that one of those who see it asked for just before.
        self.for_whom[serial] = callers or self.saw.get(server) or self.seen_by(upstream)
        if len(callers) > 1:
            self.for_whom[serial] = []
        server.says(method="notifications/message", params={"level": level, "data": serial})

    @precondition(lambda self: self.alive())
    @rule(which=PICK)
    def a_resource_changes(self, which):
        server, serial = self.pick(self.alive(), which), self.number()
        uri = f"{server.label[0]}:/"
        self.for_whom[serial] = [client for client in self.clients if uri in client.uris]
        server.says(method="notifications/resources/updated",
                    params={"uri": uri, "serial": serial})

    @precondition(lambda self: self.alive())
    @rule(which=PICK)
    def a_server_dies(self, which):
        self.die(self.pick(self.alive(), which))

    def die(self, server):
        self.read_answers(server)
        server.dies()
        for question in self.open_questions():
            if question.server is server:
                self.is_over(question)

    @rule(which=PICK)
    def nobody_has_needed_a_process(self, which):
        """So it seemed to somebody who looked, and it may be otherwise now."""
        use = self.pick(self.pool.tables.uses(), which)
        with self.pool.lock:
            use.tired, use.recent = True, False
        self.nothing_that_works_ends(self.pool.changed)

    def nothing_that_works_ends(self, function):
        """Whatever function() puts to rest."""
        work = [server for server in self.alive() if not server.closing and self.calls_at(server)]
        function()
        assert [server for server in work if server.closing] == []

    @rule(seconds=st.sampled_from([1, 5, 31, 61]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    # -- what must hold after every step

    @invariant()
    def all_of_this_holds(self):
        self.everybody_got_only_what_is_their_own()
        self.a_process_works_for_one_client_at_a_time()
        self.a_process_is_owned_or_held_by_a_client_that_is_here()
        self.a_process_is_held_for_as_many_calls_as_are_under_way_there()
        self.there_are_no_more_processes_than_allowed()
        self.one_client_means_one_process_of_each_server()

    def everybody_got_only_what_is_their_own(self):
        for server in self.world.made:
            self.read_answers(server)
        for question in self.open_questions():
            if question.server.closed:
                self.is_over(question)
        for client in self.clients:
            self.read(client)

    def read_answers(self, server):
        for message in [m for m in server.received if "method" not in m]:
            server.received.remove(message)
            (serial,) = [serial for serial, question in self.questions.items() if question.open
                         and (question.server, question.id) == (server, message["id"])]
            self.questions[serial].open = False
            if "result" in message:
                assert message["result"] == {"serial": serial}

    def read(self, client, refused=None):
        for message in client.gets():
            if message is CLOSE:
                continue
            method, params = message.get("method"), message.get("params", {})
            if method is None and refused is not None and (
                    "still in use" in str(message.get("error"))):
                assert message["id"] == refused
            elif method is None:
                self.read_answer(client, message)
            elif method == "notifications/progress":
                sent = self.sent[params["serial"]]
                assert (sent.client, sent.token) == (client, params["progressToken"])
                assert not sent.ended
            elif "id" in message:
                assert self.questions[params["serial"]].client is client
                client.to_answer.append((message["id"], params["serial"]))
            elif method == "notifications/cancelled":
                client.to_answer = [(our_id, serial) for our_id, serial in client.to_answer
                                    if our_id != params["requestId"]]
            elif method == "notifications/message":
                assert client in self.for_whom.pop(params["data"])
            elif method == "notifications/resources/updated":
                assert client in self.for_whom[params["serial"]]

    def read_answer(self, client, message):
        serial = client.in_flight.pop(message["id"])
        sent = self.sent[serial]
        assert not sent.ended and type(sent.id) is type(message["id"])
        sent.ended = True
        if "result" in message and sent.calls:
            assert message["result"] == {"serial": serial}
        if "result" in message and sent.id == "initialize":
            client.sends(method="notifications/initialized")

    def calls_at(self, server):
        """The serials of the calls that this process was sent and that have not ended."""
        return [serial for message in server.received if message.get("method") == "tools/call"
                if not self.sent[serial := message["params"]["arguments"]["serial"]].ended]

    def a_process_works_for_one_client_at_a_time(self):
        for server in self.alive():
            upstream = self.upstream_of(server)
            callers = {self.sent[serial].client for serial in self.calls_at(server)}
            assert all(self.sent[serial].calls == upstream.name
                       for serial in self.calls_at(server))
            policy = upstream.use.server.policy(upstream.use.key)
            if policy is COMMON or not callers:
                continue
            (caller,) = callers
            assert self.learned.get(server, caller) is caller
            if policy is OWN:
                assert self.callers.setdefault(upstream, caller) is caller

    def a_process_is_owned_or_held_by_a_client_that_is_here(self):
        used = [use.upstream for use in self.pool.tables.uses() if use.owner or use.holder]
        for upstream in used:
            assert upstream.use.owner is None or upstream.use.holder in (None, upstream.use.owner)
            client = self.user(upstream)
            assert client in self.clients or self.withdrawn_of(client, upstream)
            assert upstream.use.owner is None or client in self.clients
        owned = [(upstream.name, upstream.use.owner) for upstream in used if upstream.use.owner]
        held = [(upstream.name, upstream.use.holder) for upstream in used if upstream.use.holder]
        assert len(owned) == len(set(owned)) and len(held) == len(set(held))

    def a_process_is_held_for_as_many_calls_as_are_under_way_there(self):
        for use in self.pool.tables.uses():
            assert bool(use.holds or use.late) == (use.holder is not None)
            if use.holder and use.server.of(use.holder).owner is None:
                client = self.user(use.upstream)
                calls = sum(self.sent[serial].calls == use.upstream.name
                            for serial in client.in_flight.values())
                calls -= len(use.server.waiting.get(use.key, {}).get(use.holder, ()))
                assert calls == use.holds and (
                    not use.late or self.withdrawn_of(client, use.upstream))

    def withdrawn_of(self, client, upstream):
        """How many calls to this server its client took back a moment ago."""
        return sum(sent.client is client and sent.calls == upstream.name
                   and when > self.clock.now - LATE_SECONDS for when, sent in self.withdrawn)

    def there_are_no_more_processes_than_allowed(self):
        """The first process of each server, and those for clients that can be asked nothing, are
        always allowed."""
        counts = Counter(server.label[0] for server in self.alive())
        plain = sum(server.label == server.label[0] and counts[server.label] > 1
                    for server in self.alive())
        assert sum(counts.values()) - len(counts) - plain <= self.limit

    def one_client_means_one_process_of_each_server(self):
        """With "shared": true, a process that nobody holds is found within two minutes. One that
        ends may keep others from their start, and one that lists must answer before it rests."""
        asked = [use for use in self.pool.tables.uses() if use.is_lister() and (use.asks or any(
            row.id is not None for _, row in use.upstream.life.pending.rows()))]
        if len(self.clients) != 1 or asked or any(server.closing for server in self.alive()):
            self.alone_since = self.clock.now
        else:
            names = [server.label[0] for server in self.alive()]
            alone = self.clock.now - self.alone_since
            for name in "abc" if alone > 2 * IDLE_SECONDS + LATE_SECONDS else "ac":
                assert names.count(name) <= 1

    # -- the end

    def teardown(self):
        for _ in range(6):
            self.what_is_open_goes_on()
            self.clock.advance(CALL_PATIENCE + 1)
        self.everybody_got_only_what_is_their_own()
        assert [client.in_flight for client in self.clients if client.in_flight] == []
        for client in list(self.clients):
            self.leave(client)
        for _ in range(4):
            self.what_is_open_goes_on()
            self.clock.advance(IDLE_SECONDS + 1)
        self.nothing_is_left()

    def what_is_open_goes_on(self):
        for server in SERVERS:
            self.the_next_processes_are(server, slow=False, stubborn=False)
        for server in self.starting():
            server.answer_initialize()
        for server in self.alive():
            if server.closing:
                self.die(server)
        while asked := self.asked():
            for server, message in asked:
                self.one_answer(server, message)

    def nothing_is_left(self):
        assert all(question.server.closed for question in self.open_questions())
        assert self.world.router.sessions.all() == []
        assert not self.pool.sessions
        names = [server.label[0] for server in self.alive()]    # one may have become a lister
        assert set(names) <= set(SERVERS) and len(names) == len(set(names))
        assert not self.pool.tables.gone
        for server in self.pool.tables.servers.values():
            assert not (server.sessions or server.ending or any(server.waiting.values()))
            (use,) = server.uses
            assert use.owner is use.holder is None and use.holds == 0 and not use.listeners
            assert not (use.wanted or use.counts or use.late)
            assert use.upstream.life.pending.calls() == [] and len(use.upstream.life.calls) == 0
            assert use.upstream.audience.sessions() == []
        assert self.clock.events == []
