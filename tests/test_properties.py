"""Random histories: whatever happens in whatever order, messages reach only those they are for.

One to five clients, some of which can be asked, over one to three servers, in one thread. Every
message carries whose it is, so that a wrong delivery shows itself; at the end everybody leaves,
and every table must be empty.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transports.fabric.outbox import CLOSE

from world import Client, World, offers

PICK = st.integers(0, 10**6)  # taken modulo how many there are
IDS = st.sampled_from([0, 1, 2, "1", "a", 7.5])
TOKENS = st.sampled_from([None, 0, 1, "1", "t"])


class History(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World(**{name: offers(tools=["t"], resources=[f"{name}:/"],
                                           capabilities={"logging": {}})
                              for name in ("a", "b", "c")})
        self.clients = {}       # name → Client
        self.sent = {}          # serial → (client's name, id, token)
        self.answered = set()   # serials
        self.in_flight = {}     # client's name → {id: serial}
        self.asked = {}         # (label, question id) → "open", "answered" or "over"
        self.to_answer = {}     # client's name → [(our id, label, question id)]
        self.serial = 0
        self.dead = set()

    def pick(self, things, number):
        things = list(things)  # in the order they came: their random ids must not matter
        return things[number % len(things)]

    # -- clients

    @precondition(lambda self: len(self.clients) < 5)
    @rule(askable=st.booleans(), surface=st.sampled_from([None, None, "a", "b"]))
    def a_client_comes(self, askable, surface):
        self.serial += 1
        name = f"client {self.serial}"
        self.clients[name] = client = Client(self.world, surface)
        client.surface = surface
        client.initialize({"sampling": {}} if askable else {})
        self.in_flight[name], self.to_answer[name] = {}, []

    @precondition(lambda self: self.clients)
    @rule(calls=st.lists(st.tuples(PICK, PICK, IDS, TOKENS), min_size=1, max_size=6))
    def clients_call(self, calls):
        for call in calls:
            self.one_call(*call)

    def one_call(self, who, server, id, token):
        name = self.pick(self.clients, who)
        client = self.clients[name]
        self.read(name)  # what was answered meanwhile has freed its id
        self.serial += 1
        server = client.surface or "abc"[server % 3]
        new = id not in self.in_flight[name]
        if new:
            self.sent[self.serial] = (name, id, token)
            self.in_flight[name][id] = self.serial
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        client.sends(id=id, method="tools/call", params={
            "name": "t" if client.surface else f"{server}__t",
            "arguments": {"serial": self.serial}, **meta})
        if not new:  # refused; the first goes on
            self.read(name, refused=id)

    @precondition(lambda self: any(self.in_flight.values()))
    @rule(who=PICK, which=PICK)
    def a_client_cancels(self, who, which):
        name = self.pick([name for name, calls in self.in_flight.items() if calls], who)
        id = self.pick(self.in_flight[name], which)
        self.clients[name].sends(method="notifications/cancelled", params={"requestId": id})
        serial = self.in_flight[name].pop(id, None)
        if serial:
            self.answered.add(serial)  # it must never be

    @precondition(lambda self: any(self.to_answer.values()))
    @rule(who=PICK, which=PICK, twice=st.booleans())
    def a_client_answers_a_question(self, who, which, twice):
        name = self.pick([name for name, open in self.to_answer.items() if open], who)
        our_id, label, id = self.to_answer[name].pop(which % len(self.to_answer[name]))
        for _ in range(1 + twice):
            self.clients[name].sends(id=our_id, result={"to": label, "question": id})

    @precondition(lambda self: len(self.clients) > 2)
    @rule(who=PICK)
    def a_client_leaves(self, who):
        self.leave(self.pick(self.clients, who))

    def leave(self, name):
        client = self.clients.pop(name)
        client.leaves()
        self.own_questions_are_answered(client)
        assert len(client.session.calls) == len(client.session.pending) == 0
        for id, serial in self.in_flight.pop(name).items():
            self.answered.add(serial)
        self.to_answer.pop(name)

    def own_questions_are_answered(self, client):
        """Before its processes ended, each was told of every question that nobody will answer."""
        for label, server in self.world.servers.items():
            if label.endswith(client.session.id[:6]) and label not in self.dead:
                self.read_answers(label, server)
                assert "open" not in [state for (asker, _), state in self.asked.items()
                                      if asker == label]

    # -- servers

    def labels(self):
        return [label for label, server in self.world.servers.items() if not server.closed]

    def calls_in_flight(self):
        return [(server, message) for server in self.world.servers.values()
                if not server.closed for message in server.received
                if message.get("method") == "tools/call"]

    @precondition(lambda self: self.calls_in_flight())
    @rule(picks=st.lists(PICK, min_size=1, max_size=5), progress=st.booleans(),
          again=st.booleans())
    def servers_answer(self, picks, progress, again):
        for pick in picks:
            calls = self.calls_in_flight()
            if calls:
                self.one_answer(*calls[pick % len(calls)], progress, again)

    def one_answer(self, server, message, progress, again):
        serial, id = message["params"]["arguments"]["serial"], message["id"]
        if progress and "_meta" in message["params"]:
            server.says(method="notifications/progress", params={
                "progressToken": message["params"]["_meta"]["progressToken"], "progress": serial})
            return
        server.received.remove(message)
        for _ in range(1 + again):
            server.says(id=id, result={"serial": serial})

    def own_labels(self):
        return [label for label in self.labels() if "@" in label]

    @precondition(lambda self: self.labels())
    @rule(which=PICK, id=IDS, own=st.booleans())
    def a_server_asks(self, which, id, own):
        label = self.pick(own and self.own_labels() or self.labels(), which)
        if self.asked.get((label, id)) == "open":
            return  # a server that reuses an id is another test's matter
        self.asked[label, id] = "open"
        self.world[label].says(id=id, method="sampling/createMessage",
                               params={"from": label, "question": id})

    @precondition(lambda self: "open" in self.asked.values())
    @rule(which=PICK)
    def a_server_takes_its_question_back(self, which):
        label, id = self.pick([key for key, state in self.asked.items() if state == "open"], which)
        if label not in self.dead:
            self.world[label].says(method="notifications/cancelled", params={"requestId": id})
            self.asked[label, id] = "over"
            for name in self.clients:  # whoever was asked has heard that it need not answer
                self.read(name)
                assert (label, id) not in [question[1:] for question in self.to_answer[name]]

    @precondition(lambda self: self.labels())
    @rule(which=PICK, level=st.sampled_from(["debug", "error"]))
    def a_server_logs(self, which, level):
        label = self.pick(self.labels(), which)
        self.world[label].says(method="notifications/message",
                               params={"level": level, "data": label})

    @precondition(lambda self: len(self.own_labels()) > 3)
    @rule(which=PICK)
    def a_server_dies(self, which):
        label = self.pick(self.own_labels(), which)
        self.dead.add(label)
        self.world[label].dies()

    # -- what must hold after every step

    @invariant()
    def everybody_got_only_what_is_their_own(self):
        for label, server in self.world.servers.items():
            self.read_answers(label, server)
        for name in list(self.clients):
            self.read(name)

    def read_answers(self, label, server):
        for message in [m for m in server.received if "method" not in m]:
            server.received.remove(message)
            self.a_question_was_answered(label, message)

    def a_question_was_answered(self, label, message):
        state = self.asked[label, message["id"]]
        assert state == "open", f"{label} had {message} though its question was {state}"
        if "result" in message:
            assert message["result"] == {"to": label, "question": message["id"]}
        self.asked[label, message["id"]] = "answered"

    def read(self, name, refused=None):
        client = self.clients[name]
        for message in client.gets():
            if message is CLOSE:
                continue
            method = message.get("method")
            if method is None:
                if refused is not None and "still in use" in str(message.get("error")):
                    assert message["id"] == refused
                    continue
                self.answer_is_mine(name, message)
            elif method == "notifications/progress":
                sender, id, token = self.sent[message["params"]["progress"]]
                assert (sender, token) == (name, message["params"]["progressToken"])
                assert self.in_flight[name].get(id) == message["params"]["progress"]
            elif method == "sampling/createMessage":
                label = message["params"]["from"]
                assert label == self.world.own(label[0], client).label
                self.to_answer[name].append((message["id"], label, message["params"]["question"]))
            elif method == "notifications/cancelled":
                self.to_answer[name] = [question for question in self.to_answer[name]
                                        if question[0] != message["params"]["requestId"]]
            elif method == "notifications/message" and "@" in message["params"]["data"]:
                assert client.session.id[:6] in message["params"]["data"]

    def answer_is_mine(self, name, message):
        serial = self.in_flight[name].pop(message["id"])
        assert serial not in self.answered
        self.answered.add(serial)
        sender, id, _ = self.sent[serial]
        assert sender == name and type(id) is type(message["id"])
        if "result" in message:
            assert message["result"] == {"serial": serial}

    def teardown(self):
        for name in list(self.clients):
            self.leave(name)
        for (label, _), state in self.asked.items():
            assert state != "open" or label in self.dead, "a question was never answered"
        assert self.world.router.sessions.all() == []
        for upstream in [*self.world.pool.shared.values(), *self.world.pool._own]:
            assert upstream.life.pending.calls() == [] and len(upstream.life.calls) == 0
            assert upstream.audience.sessions() == []


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
