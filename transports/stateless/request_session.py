"""The session of one modern request: it begins with the request, and ends with its answer.

Several threads come here: those that carry the client's messages, reader threads of servers, and
the clock. What they share is in asked_session.py."""

import functools
import itertools

from transports.fabric.capabilities import without_tasks
from transports.fabric.gather import Gather, OnAnswer
from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, INVALID_PARAMS,
                                        LOG_LEVELS, META_KEYS, MODERN_REVISION, Refused, dig,
                                        is_id, with_params, without_keys)
from transports.fabric.peers import passing
from transports.fabric.pending import BUG, Calls, PendingRequests
from transports.fabric.session import Gate, Tasks
from transports.fabric.text import log

from .answers import INPUT_REQUIRED, modern, not_opened, urls_to_open
from .asked_session import MAY_ASK, AskedSession
from .parked import OF_SERVER, of_server, read_of_server
from .tasks import answer_seen

_numbers = itertools.count(1)
_open = Gate()      # nothing waits for a handshake that this era has not
_open.open()


class RequestSession(AskedSession):
    """`begin` it once."""

    is_brief = True

    version, initialized, key = MODERN_REVISION, True, b""
    ready_gate = answered_gate = _open
    client_info = log_level = None
    listener = None     # if it is one that lasts: see listening.py
    _pipe, _upstreams = None, {}    # these are replaced by others, never changed
    _only, _is_one_of_several = None, False     # see _to_one_server

    def __init__(self, surface, transport, surface_name=None, _most_calls=None):
        self.id = self.name = f"request {next(_numbers)}"
        super().__init__()
        self.surface, self.transport, self.surface_name = surface, transport, surface_name
        self.calls, self.pending = Calls(self), PendingRequests()
        self.listed = set()

    # -- what a session is, of which this one is a part if it came by a pipe

    @functools.cached_property
    def tasks(self):
        """Of earlier revisions: hardly any request has some."""
        return Tasks()

    @property
    def lasting(self):
        return self._pipe or self

    @property
    def upstreams(self):
        upstreams = self._pipe.upstreams if self._pipe else self._upstreams
        return upstreams if self._only is None else {
            name: upstreams[name] for name in upstreams if name == self._only}

    @upstreams.setter
    def upstreams(self, upstreams):
        self._upstreams = upstreams

    # -- called by the thread that carries the client's message

    def begin(self, stateless, pipe, meta, message, exchange):
        self.stateless, self._pipe, self.meta = stateless, pipe, meta
        self.client_info = meta.get(CLIENT_INFO_KEY)
        self.capabilities = without_tasks(meta[CAPABILITIES_KEY])
        self.message, self._forwarded = message, _without_meta(message)
        self.is_at(meta, message, exchange)
        if passing.watched:
            passing.observer.from_client(self, message)
        self.call = call = self.calls.open(message, _ReplyTo(self))
        self._attempt(call, self._begin, call, exchange)

    def _begin(self, call, exchange):
        if self._pipe:
            self._pipe.begin(self)
        else:
            self.stateless.router.pool.visit(self)
        self.stateless.begins(self, self.message, exchange)
        self._tell_level(self.upstreams.values())
        if call.method == "resources/read":
            self._to_one_server()
        with self._lock:
            self._held = call if self._questions else None
        if not self._held:
            self.stateless.route(self, self._forwarded, call)

    def _tell_level(self, upstreams):
        for upstream in upstreams if self.log_level else ():
            upstream.audience.tell_server(self)

    def _to_one_server(self):
        """Of several servers that may have to be asked for a URI in turn, the one that has asked
        something gets the answers to that, and no other."""
        params = self._forwarded["params"]
        if len(self.upstreams) <= 1 and not str(params.get("requestState")).startswith(OF_SERVER):
            return
        self._is_one_of_several = True
        if "requestState" not in params:
            params = without_keys(params, "inputResponses")
        else:
            name, own = read_of_server(params["requestState"])
            if name not in self.upstreams:
                raise Refused(INVALID_PARAMS, f'there is no server "{name}" here any more')
            self._only = name
            params = {**without_keys(params, "requestState"),
                      **({} if own is None else {"requestState": own})}
        self._forwarded = {**self._forwarded, "params": params}

    def pass_on(self, call):
        self._attempt(call, self.stateless.route, self, self._forwarded, call)

    def _attempt(self, call, function, *arguments):
        """If this fails, the call is answered with an error."""
        try:
            function(*arguments)
        except Refused as problem:
            call.send(problem.answer(call.id))
        except Exception:   # a bug of ours
            log.exception("%s: %s failed", self.name, call.method)
            call.fail(*BUG)

    def resume(self, meta, message, exchange):
        """The client has come back with answers; what is missing is asked again."""
        if passing.watched:
            passing.observer.from_client(self, message)
        answers, kept = self.take_answers(meta, message, exchange)
        self._tell_level(self.stateless.router.pool.owned(self.lasting))
        for answer in answers:
            self.pending.answer(answer)
        if kept:
            self._finish(kept)
        else:
            self.plan()

    def left(self, exchange):
        """The client has gone from this exchange: its call is cancelled, unless it is answered."""
        with self._lock:
            if self.exchange is not exchange:
                return
            self.exchange = None
        self.give_up("its client has left")

    # -- called by any thread

    def close_streams(self):
        """It has none of its own. If it was parked, nothing is kept of it."""
        if self.is_parked and self.stateless.parked.forget(self._state):
            self.ask_no_more()

    def give_up(self, reason):
        """End it without an answer."""
        for call in self.calls.all():
            call.cancel(reason)
        self._end()

    def _end(self):
        unasked = self.ask_no_more()
        if self.listener:
            self.listener.over()
        if self._pipe:
            self._pipe.over(self, unasked)
        self.stateless.router.leave(self)

    def lasts(self, listener):
        """This request is one that lasts. What else it has said need not be kept so long; log
        lines are not for it."""
        self.listener, self.log_level = listener, None
        self.message, self._forwarded = {"method": self.message["method"]}, None

    def listen(self, listener):
        """Without a pipe, it sees the servers as a session does that can be asked nothing."""
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
            level, lowest = dig(params, "level"), self.log_level
            if not lowest or level in LOG_LEVELS and (
                    LOG_LEVELS.index(level) < LOG_LEVELS.index(lowest)):
                return
        with self._lock:
            exchange, token = self.exchange, self._token
        if message["method"] == "notifications/progress":
            if not is_id(token):
                return
            message = with_params(message, progressToken=token)
        if exchange:
            exchange.send(message)

    def answered(self, answer):
        """The call has its answer. While the client is away, it is kept."""
        if self.listener:
            answer = self.listener.farewell(answer)
        if "error" in answer and isinstance(dig(self._can, "elicitation", "url"), dict):
            if self._asks_to_open(answer):
                return
            answer = not_opened(answer)
        answer = answer_seen(self, self.call, answer)
        answer = modern(answer, self.message["method"], self.surface.server_info(self))
        if self._is_one_of_several and dig(answer, "result", "resultType") == INPUT_REQUIRED:
            state = of_server(self.call.last_at.entry.name, answer["result"].get("requestState"))
            answer = {**answer, "result": {**answer["result"], "requestState": state}}
        self._finish(answer)

    def _finish(self, answer):
        """To the client where it waits; else it is kept until the client comes back."""
        with self._lock:
            is_parked = self.exchange is None and self._state and not self._is_over
            if not is_parked:
                exchange, self.exchange, self._is_over = self.exchange, None, True
            answer = {**answer, "id": self._id}
        if is_parked:
            answer, is_kept = self.keep(answer)
            if not is_kept:     # it is back
                self._finish(answer)
            return
        self._end()     # first: the client may act on its answer at once
        self.call = None    # which has us: so we are freed at once, not when the collector runs
        if exchange:
            exchange.send(answer)

    # -- URLs that a legacy server wants to be opened first

    def _asks_to_open(self, answer):
        """Whether the error says that the user must open URLs first, and the client is asked for
        that; then the call is made once more."""
        urls = urls_to_open(answer)
        if not urls or self.call.method not in MAY_ASK:
            return False
        try:
            Gather(urls, functools.partial(self._opened, answer, self.call)).start(
                lambda url, put: self.add_question(urls[url], OnAnswer(put)))
        except Refused as problem:
            self._finish(problem.answer(answer["id"]))
        self.plan()
        return True

    def _opened(self, answer, call, answers, _missing):
        """The client has answered all that was asked because of this error."""
        said = [dig(each, "result", "action") for each in answers.values()]
        try:
            if set(said) == {"accept"}:
                self.call = self.calls.open(self.message, call.reply_to)
                self.pass_on(self.call)
                return
        except Refused as problem:
            answer = problem.answer(answer["id"])
        self._finish(not_opened(answer))


class _ReplyTo:
    """The Peer that gets what belongs to the call, and then its answer."""

    def __init__(self, session):
        self._session = session

    def send(self, message):
        tell = self._session.say if "method" in message else self._session.answered
        tell(message)


def _without_meta(message):
    """The request as it goes on: what it says of its client is for modern servers alone, which
    are told it again (Session.meta). And a legacy server would make a task of it, of its own kind,
    by what is not a word of this era."""
    params = dict(message["params"])
    if meta := without_keys(params.pop("_meta"), *META_KEYS):
        params["_meta"] = meta
    if message["method"] == "tools/call":
        params.pop("task", None)
    return {**message, "params": params}
