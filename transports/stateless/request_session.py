"""The session of one modern request: it begins with the request, and ends with its answer.

    asked       its client waits on the *exchange*: its POST, or its line on the pipe
    parked      a legacy server has asked something: the exchange was answered with that, and the
                call waits, with its process, until the client comes back on another exchange
    over        its answer has gone out, its client has left, or nobody came back

Several threads come here: those that carry the client's messages, reader threads of servers, and
the clock. The tables have one lock.
"""

import itertools
import logging
import threading

from transports.fabric.capabilities import missing_capability, without_tasks
from transports.fabric.gather import OnAnswer
from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, LOG_LEVEL_KEY,
                                        LOG_LEVELS, META_KEYS, METHOD_NOT_FOUND, MODERN_REVISION,
                                        SERVER_UNAVAILABLE, Refused, dig, is_id, params_of, result,
                                        with_params, without_keys)
from transports.fabric.peers import passing
from transports.fabric.pending import BUG, Calls, PendingRequests
from transports.fabric.session import Gate, Session, Tasks

from .answers import input_required, modern
from .tasks import answer_seen

log = logging.getLogger("router")

# What may be answered with questions (2026-07-28, Multi Round-Trip Requests, Supported Requests).
MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
TOGETHER_SECONDS = 0.05     # in which several questions become one answer
MOST_QUESTIONS = 100        # of one request at the same time

_numbers = itertools.count(1)
_open = Gate()      # nothing waits for a handshake that this era has not
_open.open()


class RequestSession(Session):
    """`begin` it once."""

    is_brief = True

    version, initialized, key = MODERN_REVISION, True, b""
    ready_gate = answered_gate = _open
    client_info = log_level = None
    listener = None     # if it is one that lasts: see listening.py
    tasks = Tasks()     # of earlier revisions: no request of this one has any

    def __init__(self, surface, transport, surface_name=None, _most_calls=None):
        # Without super(): most of what a Session has would be made for each request in vain.
        self.id = self.name = f"request {next(_numbers)}"
        self.surface, self.transport, self.surface_name = surface, transport, surface_name
        self.calls, self.pending = Calls(self), PendingRequests()
        self.listed = set()
        self._pipe, self._upstreams = None, {}
        self._lock = threading.Lock()
        # protected by _lock:
        self._exchange, self._id, self._token = None, None, None    # where the client waits now
        self._questions = {}    # our id, as text → what the client is asked
        self._state = None      # while it is parked
        self._kept = None       # the answer that came meanwhile
        self._planned = False   # whether the questions are about to be handed over

    # -- what a session is, of which this one is a part if it came by a pipe

    @property
    def lasting(self):
        return self._pipe or self

    @property
    def upstreams(self):
        return self._pipe.upstreams if self._pipe else self._upstreams

    @upstreams.setter
    def upstreams(self, upstreams):
        self._upstreams = upstreams

    @property
    def is_parked(self):
        return self._state is not None

    # -- called by the thread that carries the client's message

    def begin(self, stateless, pipe, meta, message, exchange):
        self.stateless, self._pipe, self.meta = stateless, pipe, meta
        self.client_info, self.log_level = meta.get(CLIENT_INFO_KEY), meta.get(LOG_LEVEL_KEY)
        self.capabilities = without_tasks(meta[CAPABILITIES_KEY])
        self.message, self._exchange, self._id = message, exchange, message["id"]
        self._token = dig(message, "params", "_meta", "progressToken")
        if passing.watched:
            passing.observer.from_client(self, message)
        self.call = call = self.calls.open(message, OnAnswer(self._answered, _Progress(self)))
        try:
            if pipe:
                pipe.begin(self, stateless.router)
            else:
                stateless.router.pool.visit(self)
            stateless.begins(self, message, exchange)
            if self.log_level:
                for upstream in self.upstreams.values():
                    upstream.audience.tell_server(self)
            stateless.route(self, _without_meta(message), call)
        except Refused as problem:
            call.send(problem.answer(call.id))
        except Exception:   # a bug of ours
            log.exception("%s: %s failed", self.name, message["method"])
            call.fail(*BUG)

    def resume(self, message, exchange):
        """The client has come back with answers; what is missing is asked again."""
        if passing.watched:
            passing.observer.from_client(self, message)
        responses = params_of(message).get("inputResponses")
        responses = responses if isinstance(responses, dict) else {}
        with self._lock:
            self._state, self._exchange, self._id = None, exchange, message["id"]
            self._token = dig(message, "params", "_meta", "progressToken")
            given = [key for key in self._questions if isinstance(responses.get(key), dict)]
            for key in given:
                del self._questions[key]
            kept, more = self._kept, bool(self._questions)
        for key in given:
            self.pending.answer(result(int(key), responses[key]))
        if kept:
            self._finish(kept)
        elif more:
            self._plan()

    def left(self, exchange):
        """The client has gone from this exchange: its call is cancelled, unless it is answered."""
        with self._lock:
            if self._exchange is not exchange:
                return
            self._exchange = None
        self.give_up("its client has left")

    # -- called by any thread

    def close_streams(self):
        """It has none of its own."""

    def give_up(self, reason):
        """End it without an answer."""
        for call in self.calls.all():
            call.cancel(reason)
        self._end()

    def _end(self):
        if self._state:
            self.stateless.parked.forget(self._state)
        if self.listener:
            self.listener.over()
        self.stateless.router.leave(self)

    def listen(self, listener):
        """This request is one that lasts. Without a pipe, it sees the servers as a session does
        that can be asked nothing."""
        self.capabilities = {}
        self.stateless.router.pool.join(self)
        self.listed.add(self.message["method"])     # of what changes it is told from now on

    def listen_no_more(self, listener):
        """It ends with its session."""

    def send(self, message):
        """What belongs to no call is for those who listen."""
        if self.listener:
            self.listener.hear(message)

    def say(self, message):
        """What belongs to the call: its progress, and the log lines that it has asked for."""
        params = message.get("params")
        if message["method"] == "notifications/message":
            level = dig(params, "level")
            if not self.log_level or level in LOG_LEVELS and (
                    LOG_LEVELS.index(level) < LOG_LEVELS.index(self.log_level)):
                return
        with self._lock:
            exchange, token = self._exchange, self._token
        if message["method"] == "notifications/progress":
            if not is_id(token):
                return
            message = with_params(message, progressToken=token)
        if exchange:
            exchange.send(message)

    def _answered(self, answer):
        """The call has its answer. While the client is away, it is kept."""
        if self.listener:
            answer = self.listener.farewell(answer)
        answer = answer_seen(self, self.call, answer)
        answer = modern(answer, self.message["method"], self.surface.server_info(self))
        with self._lock:
            if self._state:
                self._kept = answer
                return
        self._finish(answer)

    def _finish(self, answer):
        with self._lock:
            exchange, self._exchange = self._exchange, None
            answer = {**answer, "id": self._id}
        if exchange:
            exchange.send(answer)
        self._end()

    # -- questions of a legacy server

    def ask(self, message, question):
        missing = missing_capability(message, self.capabilities)
        if missing or self.message["method"] not in MAY_ASK:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}: the client "
                                            "cannot be asked that now")
        with self._lock:
            if len(self._questions) >= MOST_QUESTIONS:
                raise Refused(SERVER_UNAVAILABLE, f"{MOST_QUESTIONS} questions wait already")
        sent = self.pending.add(message, reply_to=question, call=question)
        if passing.watched:
            passing.observer.asked(self, sent["id"], question)
        with self._lock:
            self._questions[str(sent["id"])] = {
                key: sent[key] for key in ("method", "params") if key in sent}
        question.passed_on(self, sent["id"])
        self._plan()

    def withdraw(self, our_id, reason):
        with self._lock:
            self._questions.pop(str(our_id), None)
        self.pending.take(our_id)

    def _plan(self):
        """Hand over the questions soon, with those that come until then."""
        with self._lock:
            if self._planned or not self._exchange:
                return
            self._planned = True
        self.stateless.router.clock.after(TOGETHER_SECONDS, self._hand_over)

    def _hand_over(self):
        """Called by the clock: the exchange is answered with the questions."""
        with self._lock:
            self._planned = False
            if not self._exchange or not self._questions:
                return
        try:
            state = self.stateless.parked.put(self)
        except Refused as problem:
            for call in self.calls.all():
                call.send(problem.answer(call.id))
                call.withdraw(str(problem))
            return
        with self._lock:
            exchange, questions = self._exchange, dict(self._questions)
            if exchange and questions:
                self._exchange, self._state = None, state
        if exchange and questions:
            exchange.send(input_required(self._id, questions, state))
        else:
            self.stateless.parked.forget(state)


class _Progress:
    """The Peer that gets what belongs to the call, before its answer."""

    def __init__(self, session):
        self.send = session.say


def _without_meta(message):
    """The request as it goes on: what it says of its client is for modern servers alone, which
    are told it again (Session.meta). And a legacy server would make a task of it, of its own kind,
    by what is not a word of this era."""
    params = message["params"]
    meta = without_keys(params["_meta"], *META_KEYS)
    words = ("_meta", "task") if message["method"] == "tools/call" else ("_meta",)
    params = {**without_keys(params, *words), **({"_meta": meta} if meta else {})}
    return {**message, "params": params}
