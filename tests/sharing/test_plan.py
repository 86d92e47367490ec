"""upstreams/sharing/plan.py: which process serves whom, as a table of cases.

Each case says what there is and what is to be done next. Sessions are letters; A, B and C can be
asked (they have the key "can"), P and Q cannot. A process is written as its state, its key and who
has it.
"""

import types

import pytest

from transports.fabric.session import Tasks
from upstreams.config.entries import Entry
from upstreams.server.life import FAILED, RESTING, RUNNING, STARTING
from upstreams.sharing.plan import END, GIVE, NEW, REST, START, WANT, plan
from upstreams.sharing.tables import PLAIN, Server, Tables, Use

CAN = b"can"
KEYS = {"A": CAN, "B": CAN, "C": CAN, "P": PLAIN, "Q": PLAIN}


class Session(str):
    tasks = Tasks()

    @property
    def id(self):
        return self


SESSIONS = {letter: Session(letter) for letter in KEYS}
session = SESSIONS.get


class Case:
    """One server "a", and what is known of it."""

    def __init__(self, shared=None, era="legacy", limit=100, ran=True, share=True):
        self.server = Server(Entry("a", "-", shared=shared), share=share, era=era, has_run=ran)
        self.tables = Tables(limit, {"a": self.server})
        self.uses = {}

    def process(self, name, state=RUNNING, key=PLAIN, listeners="", **more):
        upstream = types.SimpleNamespace(state=state, info={"revision": "2025-11-25"})
        use = Use(self.server, key, upstream, state=state, ready=state == RUNNING,
                  listeners={session(letter): None for letter in listeners}, **more)
        self.server.uses.append(use)
        self.uses[name] = use
        if name == "lister":
            self.server.listers[key] = use
        return self

    def call(self, *letters, presses=True):
        """A call of each of these sessions waits, in this order."""
        for letter in letters:
            self.see(letter)
            self.server.waiting.setdefault(KEYS[letter], {})[session(letter)] = [
                types.SimpleNamespace(presses=presses)]
        return self

    def see(self, letters):
        self.server.sessions.update({session(letter): KEYS[letter] for letter in letters})
        return self

    def ends(self):
        self.server.ending.append("a life")
        return self

    def steps(self):
        """[(what, which process or session)]"""
        names = {id(use): name for name, use in self.uses.items()}
        return [(step.what, names.get(id(step.use), "new"),
                 *([str(step.session)] if step.session else [])) for step in plan(self.tables)]


def case(**more):
    return Case(**more)


CASES = {
    # PROTOCOL: a modern server, one process for everybody
    "a call that can be asked, at a modern server, goes to the process for all": (
        case(era="2026").process("lister", listeners="A").call("A"),
        [(GIVE, "lister", "A")]),
    "while the era is not known, the call waits": (
        case(era=None, ran=False).process("lister", STARTING, listeners="A").call("A"), []),
    "a server that became modern needs no process of one session any more": (
        case(era="2026").process("lister").process("own", key=CAN, owner=session("A")),
        [(END, "own")]),
    # a client that can be asked nothing
    "a client that can be asked nothing gets the process for all": (
        case().process("lister", listeners="PA").call("P"), [(GIVE, "lister", "P")]),
    "the process for all comes back for such a call": (
        case().process("lister", RESTING).call("P"), [(WANT, "lister")]),
    "a call is not given to a process that starts": (
        case().process("lister", STARTING).call("P"), []),
    "a call at a process that has failed is given, and so fails with the reason": (
        case().process("lister", FAILED, listeners="P").call("P"), [(GIVE, "lister", "P")]),
    # its own process, at the first call
    "a client that can be asked gets a process of its own at its first call": (
        case().process("lister", listeners="AB").call("A"), [(NEW, "new", "A")]),
    "connecting and listing start nothing": (
        case().process("lister", listeners="ABC").see("ABC"), []),
    "the call waits until its own process is up": (
        case().process("lister", RESTING).process("own", STARTING, CAN, owner=session("A"))
        .call("A"), []),
    "the call waits until what its own process asked is answered": (
        case().process("lister", RESTING).call("A").process(
            "own", RUNNING, CAN, owner=session("A"), asked=True), [(GIVE, "own", "A")]),
    "its own process runs its calls": (
        case().process("lister", RESTING).process("own", key=CAN, owner=session("A")).call("A"),
        [(GIVE, "own", "A")]),
    # one client means one process
    "the process that lists rests before another starts for the one session that lists there": (
        case().process("lister", listeners="A").process(
            "own", RESTING, CAN, owner=session("A"), session=session("A"), wanted=1),
        [(REST, "lister")]),
    "it stays if another session lists there": (
        case().process("lister", listeners="AB").process(
            "own", RESTING, CAN, owner=session("A"), session=session("A"), wanted=1),
        [(START, "own")]),
    "it goes on while it has something to do, and the other waits": (
        case().process("lister", listeners="A", busy=True).process(
            "own", RESTING, CAN, owner=session("A"), session=session("A"), wanted=1), []),
    "nothing starts while a process of its server is ending": (
        case().process("lister", RESTING, wanted=1).ends(), []),
    "beside a process that somebody has, one rests from which nobody lists": (
        case().process("lister").process("own", key=CAN, owner=session("A")), [(REST, "lister")]),
    # "shared": true
    "with turns, a session holds the process that is free": (
        case(shared=True).process("lister", RESTING).process("free", key=CAN).call("A"),
        [(GIVE, "free", "A")]),
    "it holds the one that it used last": (
        case(shared=True).process("lister", RESTING).process("one", key=CAN, used=9)
        .process("two", key=CAN, used=3, last_user="A").call("A"), [(GIVE, "two", "A")]),
    "it holds the one that was used last by anybody": (
        case(shared=True).process("lister", RESTING).process("one", key=CAN, used=3)
        .process("two", key=CAN, used=9).call("A"), [(GIVE, "two", "A")]),
    "what another session holds is not free": (
        case(shared=True).process("lister", RESTING)
        .process("held", key=CAN, holder=session("B"), holds=1).call("A"), [(NEW, "new", "A")]),
    "for a call that has waited for a moment only nothing starts": (
        case(shared=True).process("lister", RESTING)
        .process("held", key=CAN, holder=session("B"), holds=1).call("A", presses=False), []),
    "nor ends anything": (
        case(shared=True, limit=0).process("lister", RESTING, used=1)
        .process("held", key=CAN, holder=session("B"), holds=1)
        .process("idle", key=b"other", used=1).call("A", presses=False), []),
    "but it gets what has become free": (
        case(shared=True).process("lister", RESTING).process("free", key=CAN)
        .call("A", presses=False), [(GIVE, "free", "A")]),
    "for one waiting session one process starts": (
        case(shared=True).process("lister", RESTING)
        .process("coming", STARTING, CAN, session=session("A")).call("A"), []),
    "for two waiting sessions two processes start": (
        case(shared=True).process("lister", RESTING)
        .process("coming", STARTING, CAN, session=session("A")).call("A", "B"),
        [(NEW, "new", "A")]),
    "one that died at its start is not replaced: it is started again after its pause": (
        case(shared=True).process("lister", RESTING)
        .process("dead", FAILED, CAN, session=session("A")).call("A"), []),
    "one that a withdrawn call has spoilt goes to nobody": (
        case(shared=True).process("lister", RESTING).process("spoilt", key=CAN, spoilt=True)
        .call("A"), [(NEW, "new", "A")]),
    # "shared": false
    "with shared false, what has listed becomes the session's own at its first call": (
        case(shared=False).process("lister", listeners="P").call("P"), [(GIVE, "lister", "P")]),
    "but not if somebody has called there": (
        case(shared=False).process("lister", listeners="P", called=True).call("P"),
        [(NEW, "new", "P")]),
    "with shared false, a modern server has a process for each session too": (
        case(shared=False, era="2026").process("lister", RESTING)
        .process("own", owner=session("Q"), called=True).call("P"), [(NEW, "new", "P")]),
    # what nobody needs
    "what is tired rests if it lists": (
        case().process("lister", listeners="P", tired=True), [(REST, "lister")]),
    "what is tired ends if it takes turns, even the last one": (
        case(shared=True).process("lister", RESTING).process("turns", key=CAN, tired=True),
        [(END, "turns")]),
    **{f"what is tired stays if it is {word}": (
        case().process("lister", listeners="P", tired=True, **{word: True}), [])
       for word in ("busy", "subscribed", "recent")},
    "what is tired stays if a client has it": (
        case().process("lister", RESTING).process("own", key=CAN, owner=session("A"), tired=True),
        []),
    "unless there is only one client": (
        case(share=False).process("own", key=CAN, owner=session("A"), tired=True),
        [(REST, "own")]),
    "what is tired gets the call that waits": (
        case().process("lister", listeners="P", tired=True).call("P"), [(GIVE, "lister", "P")]),
    # the limit
    "without room, what only lists rests first": (
        case(limit=0).process("lister", listeners="AB").call("A"), [(REST, "lister")]),
    "without room, the call waits": (
        case(limit=0).process("lister", RESTING).process("own", key=CAN, owner=session("B"))
        .call("A"), []),
    "without room, of the processes that take turns the one unused for longest makes way": (
        case(shared=True, limit=1).process("lister", RESTING)
        .process("one", key=b"other", used=9).process("two", key=b"other", used=3).call("A"),
        [(END, "two")]),
    "without room, what lists and was called rests if its server keeps nothing": (
        case(shared=True, limit=0).process("lister", listeners="P", called=True).see("P")
        .call("A"), [(REST, "lister")]),
    "but not if it may keep something": (
        case(limit=0).process("lister", listeners="P", called=True).see("P").call("A"), []),
    "nor while it is subscribed": (
        case(shared=True, limit=0).process("lister", listeners="P", called=True, subscribed=True)
        .see("P").call("A"), []),
    "without room, the last one of those that take turns ends if it can serve nobody who waits": (
        case(shared=True, limit=0).process("lister", RESTING)
        .process("one", key=b"other", used=9).call("A"), [(END, "one")]),
    "what is tired rests although a call waits that cannot run there": (
        case(limit=0).process("lister", listeners="P", called=True, tired=True).see("P").call("A"),
        [(REST, "lister")]),
    "what has failed for good before it ever ran fails the next call too": (
        case(ran=False).process("lister", FAILED, given_up=True, listeners="A").call("A"),
        [(GIVE, "lister", "A")]),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    given, expected = CASES[name]
    assert given.steps() == expected


def test_a_plan_changes_nothing():
    given = CASES["without room, what only lists rests first"][0]
    assert given.steps() == given.steps()


def test_starts_are_a_few_at_a_time_and_in_order():
    tables = Tables(100, {name: Server(Entry(name, "-")) for name in "abc"})
    for number, server in enumerate(reversed(tables.servers.values()), 1):
        server.uses.append(Use(server, wanted=number))
    assert [step.use.server.entry.name for step in plan(tables, 2)] == ["c", "b"]


def test_what_ends_of_a_server_that_has_changed_counts_once():
    ending = ["a life", "another life"]
    gone = Server(Entry("a", "-"), ending=ending)
    tables = Tables(3, {"a": Server(Entry("a", "-x"), ending=ending)}, [gone, gone])
    tables.servers["a"].uses.append(Use(tables.servers["a"], wanted=1))
    assert tables.beside() == 2
    assert tables.has_room(tables.servers["a"], session("A"))
