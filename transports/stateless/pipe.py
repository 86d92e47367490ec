"""Modern requests over stdio, which may come between legacy messages.

A pipe has one client. Each of its modern requests has a session of its own, but the servers are
those of the *pipe's* session, as for a legacy client: what they keep lasts from call to call.
"""

import functools

from transports.fabric.capabilities import missing_capability
from transports.fabric.messages import (METHOD_NOT_FOUND, REQUEST, VERSION_KEY, Refused, dig,
                                        kind_of)
from transports.fabric.session import Session

from .request_session import MAY_ASK, MOST_QUESTIONS
from .stateless import Stateless


class PipeSession(Session):
    """That of all that comes by the pipe, of either era. The main thread reads the pipe."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._listeners = ()    # replaced by one assignment
        self._early = []        # (message, Call): what servers asked before anybody called
        self._is_modern = False     # whether it has had a modern request

    def begin(self, session, router):
        """A modern request of it begins. With the first one the servers start, as with
        initialize: its client can be asked the same in all that follow."""
        if not self._is_modern:
            if self.version is None:
                self.capabilities, self.client_info = session.capabilities, session.client_info
                router.pool.join(self)
                router.tell()
                self.initialized = True
                self.ready_gate.open()
            self._is_modern = True
        if session.message["method"] in MAY_ASK:
            early, self._early = self._early, []
            for message, question in early:
                _ask(session, message, question)

    def send(self, message):
        if self.version:
            super().send(message)
        for listener in self._listeners:
            listener.hear(message)

    def listen(self, listener):
        self._listeners = (*self._listeners, listener)
        self.listed.add("subscriptions/listen")     # of what changes it is told from now on

    def listen_no_more(self, listener):
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    def ask(self, message, question):
        """Ask on the modern call that the question belongs to, or could; in the legacy way if the
        client is one. What comes before any call is for the first that can carry it."""
        call = question.within
        if call is None and not self.version:
            calls = [each for each in question.asker.pending.calls() if each.asker is not self]
            call = question.within = calls[-1] if calls else None
        if call and call.asker is not self:
            call.asker.ask(message, question)
        elif self.version:
            super().ask(message, question)
        elif missing_capability(message, self.capabilities) or len(self._early) >= MOST_QUESTIONS:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}: the client "
                                            "cannot be asked that now")
        else:
            self._early.append((message, question))

    def says_no_more(self):
        super().says_no_more()
        for listener in self._listeners:
            listener.end()


def _ask(session, message, question):
    try:
        if not question.ended:
            session.ask(message, question)
    except Refused as problem:
        question.send(problem.answer(question.id))


class Pipe:
    """What stdio.py uses of a Router."""

    def __init__(self, router):
        self._router, self._stateless = router, Stateless(router)

    def open(self, transport):
        return self._router.open(transport, kind=PipeSession)

    def handle(self, session, message, reply_to):
        """As Router.handle."""
        if dig(message, "params", "_meta", VERSION_KEY) is None or kind_of(message) is not REQUEST:
            self._router.handle(session, message, reply_to)
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
