"""The client of one request: where it waits for us, and what it is asked.

    asked       it waits on the *exchange*: its POST, or its line on the pipe
    parked      a legacy server has asked something: the exchange was answered with that, and the
                call waits, with its process, until the client comes back on another exchange
    over        its answer has gone out, it has left, or it did not come back

Several threads come here: those that carry the client's messages, reader threads of servers, and
the clock. The tables have one lock."""

import threading
import time

from transports.fabric.capabilities import NEEDS, missing_capability
from transports.fabric.messages import (CAPABILITIES_KEY, LOG_LEVEL_KEY, METHOD_NOT_FOUND,
                                        SERVER_UNAVAILABLE, Refused, dig, encode, error, params_of,
                                        result, without_keys)
from transports.fabric.peers import passing
from transports.fabric.session import Session

from .answers import input_required

# What may be answered with questions (2026-07-28, Multi Round-Trip Requests, Supported Requests).
MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
TOGETHER_SECONDS = 0.05     # in which several questions become one answer
MOST_QUESTIONS = 100        # of one request at the same time
NOT_NOW = "the client cannot be asked that now"


class AskedSession(Session):
    """What a RequestSession is made of. What most requests never need is made when they do."""

    # protected by _lock:
    exchange = _id = _token = None  # where the client waits now
    _can = {}           # what it says there that it can be asked
    _state = None       # while it is parked
    _parked_at = 0.0    # when it was so last
    _is_over = False    # no more is sent to the exchange
    _kept = None        # the answer that came meanwhile
    _size = 0           # of that
    _held = None        # the Call, while it waits for answers before it is passed on
    _planned = False    # whether the questions are about to be handed over

    def __init__(self):
        # Without super(): most of what a Session has would be made for each request in vain.
        self._lock = threading.Lock()
        # protected by _lock: our id, as text → (what it is asked, the size of that)
        self._questions = {}

    @property
    def is_parked(self):
        return self._state is not None

    def seconds_silent(self):
        """While it is parked, nobody knows whether its client is there: it may make room."""
        return time.monotonic() - self._parked_at if self._state else 0.0

    def is_at(self, meta, message, exchange):
        """The client waits for us there, and says what it can be asked, and wants to hear."""
        self.exchange, self._id, self._can = exchange, message["id"], meta[CAPABILITIES_KEY]
        self._token = message["params"]["_meta"].get("progressToken")
        self.log_level = meta.get(LOG_LEVEL_KEY)

    def ask(self, message, question):
        if message["method"] not in NEEDS or missing_capability(message, self._can) \
                or self.message["method"] not in MAY_ASK:
            raise Refused(METHOD_NOT_FOUND, f"{message['method']}: {NOT_NOW}")
        question.passed_on(self, self.add_question(message, question, question))
        self.plan()

    def add_question(self, message, reply_to, question=None):
        """Returns our id of it. Raises Refused if it is one too many. `question`: the Call."""
        sent = self.pending.add(message, reply_to, question)
        if passing.watched and question:
            passing.observer.asked(self, sent["id"], question)
        shown = {key: sent[key] for key in ("method", "params") if key in sent}
        if dig(shown, "params", "mode") == "url":   # in this era these have no ids
            shown["params"] = without_keys(shown["params"], "elicitationId")
        size = len(encode(shown))
        try:
            self.stateless.parked.keep(size)
        except Refused:
            self.pending.take(sent["id"])
            raise
        with self._lock:
            problem = f"{MOST_QUESTIONS} questions wait already" \
                if len(self._questions) >= MOST_QUESTIONS \
                else "the request has just ended" if self._is_over else None
            if not problem:
                self._questions[str(sent["id"])] = shown, size
        if problem:
            self.stateless.parked.free(size)
            self.pending.take(sent["id"])
            raise Refused(SERVER_UNAVAILABLE, problem)
        return sent["id"]

    def withdraw(self, our_id, reason):
        self._forget([str(our_id)])
        self.pending.take(our_id)

    def _forget(self, keys):
        """These questions wait no more, if they did."""
        with self._lock:
            over = [self._questions.pop(key) for key in keys if key in self._questions]
        self.stateless.parked.free(sum(size for _, size in over))

    def take_answers(self, meta, message, exchange):
        """The client has come back. Returns what it answers, under our ids, and the answer to its
        call that came meanwhile, or None."""
        responses = params_of(message).get("inputResponses")
        responses = responses if isinstance(responses, dict) else {}
        answers = {}
        with self._lock:
            self._state = None
            self.is_at(meta, message, exchange)
            for key, (question, _) in self._questions.items():
                if isinstance(responses.get(key), dict):
                    answers[key] = result(int(key), responses[key])
                elif missing_capability(question, self._can):
                    answers[key] = error(int(key), METHOD_NOT_FOUND, NOT_NOW)
            kept = self._kept or self._is_over and error(
                self._id, SERVER_UNAVAILABLE, "this call has just ended to make room: call again")
        self._forget(answers)
        return list(answers.values()), kept

    def plan(self):
        """Go on soon, with the questions that come until then."""
        with self._lock:
            if self._planned or not self.exchange or not (self._questions or self._held):
                return
            self._planned = True
        self.stateless.router.clock.after(TOGETHER_SECONDS, self._go_on)

    def _go_on(self):
        """Called by the clock: the exchange is answered with the questions; if none is left, the
        call that has waited for the answers to them begins."""
        with self._lock:
            self._planned, call = False, None
            if not self._questions and self.exchange:
                call, self._held = self._held, None
        if call:
            self.pass_on(call)
        else:
            self._park()

    def _park(self):
        if not self._questions or not self.exchange:
            return
        try:
            state = self.stateless.parked.put(self)
        except Refused as problem:
            calls = self.calls.all()
            for call in calls:
                call.send(problem.answer(call.id))
                call.withdraw(str(problem))
            if not calls:   # it was to open URLs
                self._finish(problem.answer(self._id))
            return
        with self._lock:
            exchange, id = self.exchange, self._id
            questions = {key: question for key, (question, _) in self._questions.items()}
            if exchange and questions:
                self.exchange, self._state = None, state
                self._parked_at = time.monotonic()
        if exchange and questions:
            exchange.send(input_required(id, questions, state))
        else:
            self.stateless.parked.forget(state)
            self.plan()     # for a call that has waited for these questions

    def keep(self, answer):
        """(the answer, or another if too much is kept already; whether it is kept for the client,
        which is away)."""
        size = len(encode(answer))
        try:
            self.stateless.parked.keep(size)
        except Refused as problem:
            answer, size = problem.answer(answer["id"]), 0
        with self._lock:
            if self._state:
                self._kept, self._size = answer, size
                return answer, True
        self.stateless.parked.free(size)
        return answer, False

    def ask_no_more(self):
        """The request is over, whether it is parked or not. Returns what others may ask, as it
        belongs to no call in particular: [(message, Call)]."""
        with self._lock:
            state, self._held = self._state, None
            if not self._is_over:   # else a client may just have come back, to hear that
                self.exchange, self._is_over = None, True
            size, self._size = self._size, 0
            questions = dict(self._questions)
        others = []
        if not (state or size or questions):
            return others   # as of most
        self._forget(questions)
        self.stateless.parked.free(size)
        self.stateless.parked.forget(state)
        for key, (question, _) in questions.items():
            row = self.pending.find(int(key))
            if row and row.call and row.call.within is None and self.pending.take(int(key)):
                others.append(({"jsonrpc": "2.0", "id": row.id, **question}, row.call))
        return others
