"""Modern requests over stdio, which may come between legacy messages.

A pipe has one client. Each of its modern requests has a session of its own, but the servers are
those of the *pipe's* session, as for a legacy client: what they keep lasts from call to call."""

import functools
import threading

from transports.fabric.capabilities import missing_capability
from transports.fabric.messages import (METHOD_NOT_FOUND, REQUEST, SERVER_UNAVAILABLE, VERSION_KEY,
                                        Refused, dig, kind_of)
from transports.fabric.session import Gate, Session
from transports.fabric.text import log

from .asked_session import MAY_ASK, MOST_QUESTIONS, NOT_NOW
from .stateless import Stateless


class PipeSession(Session):
    """That of all that comes by the pipe, of either era. The main thread reads the pipe."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._is_modern = False     # whether it has had a modern request
        self._lock = threading.Lock()
        # protected by _lock:
        self._requests = {}     # {RequestSession: None}: the open ones that can carry a question
        self._listeners = []
        self._early = []        # (message, Call): what servers asked when there was no such one

    def begin(self, session):
        """A modern request of it begins. With the first one the servers start, as with
        initialize: its client can be asked the same in all that follow."""
        if not self._is_modern:
            if self.version is None:
                router = session.stateless.router
                self.capabilities, self.client_info = session.capabilities, session.client_info
                router.pool.join(self)
                router.tell()
                self.initialized = True
                log.info("%s begins: %s", self.name, self.client())
                self.ready_gate.open()
            self._is_modern = True
        if session.message["method"] in MAY_ASK:
            with self._lock:
                self._requests[session] = None
            self._ask_early(session.ask)

    def over(self, session, unasked):
        """This request has ended. What it was to ask, but belongs to no call in particular, may be
        asked with another: [(message, Call)]."""
        with self._lock:
            self._requests.pop(session, None)
        for message, question in unasked:
            _ask(self.ask, message, question)

    def send(self, message):
        if self.version:
            super().send(message)
        for listener in self._listeners:
            listener.hear(message)

    def listen(self, listener):
        with self._lock:
            self._listeners = [*self._listeners, listener]
        self.listed.add("subscriptions/listen")     # of what changes it is told from now on

    def listen_no_more(self, listener):
        with self._lock:
            self._listeners = [each for each in self._listeners if each is not listener]

    def ask(self, message, question):
        """Ask on the modern call that the question belongs to, or could; in the legacy way if the
        client is one. What comes before any call is for the first that can carry it."""
        call = question.within
        session = call.asker if call else None if self.version else self._carrier(question.asker)
        if session and session is not self:
            session.ask(message, question)
        elif self.version:
            super().ask(message, question)
        elif missing_capability(message, self.capabilities) or len(self._early) >= MOST_QUESTIONS:
            raise Refused(METHOD_NOT_FOUND, f"{message['method']}: {NOT_NOW}")
        else:
            with self._lock:
                self._early.append((message, question))

    def _carrier(self, life):
        """The latest request that is under way there, else one that waits, maybe for that."""
        with self._lock:
            calls = [(session, session.call) for session in self._requests]
        there = [session for session, call in calls if call and call.is_at(life)]
        waiting = [session for session, call in calls if call and call.last_at is None]
        return (there or waiting or [None])[-1]

    def ask_early(self):
        """It has become a legacy client, which can be asked at any time."""
        self._ask_early(super().ask)

    def _ask_early(self, ask):
        with self._lock:
            early, self._early = self._early, []
        for message, question in early:
            _ask(ask, message, question)

    def says_no_more(self):
        super().says_no_more()
        for listener in self._listeners:
            listener.end()
        with self._lock:
            early, self._early = self._early, []
            parked = [session for session in self._requests if session.is_parked]
        why = "the client has closed its end"
        for _, question in early:
            question.fail(SERVER_UNAVAILABLE, why)
        for session in parked:
            session.give_up(why)


def _ask(ask, message, question):
    try:
        if not question.ended:
            ask(message, question)
    except Refused as problem:
        question.send(problem.answer(question.id))


class Pipe:
    """What stdio.py uses of a Router: it stands before it."""

    def __init__(self, router):
        self._router, self._stateless = router, Stateless(router)
        self.names, self.limits = router.names, router.limits

    def open(self, transport):
        return self._router.open(transport, kind=PipeSession)

    def handle(self, session, message, reply_to):
        """As Router.handle."""
        if dig(message, "params", "_meta", VERSION_KEY) is None or kind_of(message) is not REQUEST:
            self._legacy(session, message, reply_to)
            return
        try:
            exchange = session.calls.open(message, reply_to)
        except Refused as problem:
            reply_to.send(problem.answer(message["id"]))
            return
        try:
            served = self._stateless.serve(message, exchange, session.transport, pipe=session)
            exchange.on_end(functools.partial(served.left, exchange))
        except Refused as problem:
            exchange.send(problem.answer(exchange.id))

    def leave(self, session):
        """Its client has left: what began last ends first."""
        for each in reversed(self._router.sessions.all()):
            self._router.leave(each)

    def _legacy(self, session, message, reply_to):
        """It may become a legacy client after it was a modern one: what it is asked waits for its
        `initialized`, as ever."""
        before = session.version
        if before is None and dig(message, "method") == "initialize":
            session.ready_gate = Gate()
        self._router.handle(session, message, reply_to)
        if before is None and session.version:
            session.ask_early()
