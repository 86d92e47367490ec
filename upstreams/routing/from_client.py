"""What a client says, and what becomes of it; from_server.py is its counterpart. A few requests
are answered here; all others go to the session's surface. No thread waits here."""

import functools
import math
import threading

from transports.fabric.capabilities import without_tasks
from transports.fabric.messages import (INVALID_REQUEST, LATEST, METHOD_NOT_FOUND, NOTIFICATION,
                                        REQUEST, REVISIONS, SERVER_UNAVAILABLE, InvalidMessage,
                                        Refused, check_said, is_id, kind_of, params_of, result,
                                        task_id_in)
from transports.fabric.peers import passing
from transports.fabric.pending import BUG
from transports.fabric.session import Gate
from transports.fabric.text import log
from upstreams.server.lists import when_session_settled


class FromClient:
    """Routes the messages of all clients."""

    def __init__(self, pool, clock, sessions, tell):
        """`tell()` tells the user how the servers have started."""
        self._pool, self._clock, self._sessions, self._tell = pool, clock, sessions, tell
        self._lock = threading.Lock()   # protects the version of every session, until it is set
        self._requests = {
            "initialize": self._initialize,
            "ping": lambda session, message, call: call.send(result(call.id, {})),
            "server/discover": self._too_early,
        }
        self._notifications = {
            # The client may be asked now. Its servers had an `initialized` of ours before.
            "notifications/initialized": lambda session, *_: session.ready_gate.open(),
            "notifications/cancelled": self._cancelled,
            "notifications/progress":
                lambda session, message, _params: session.pending.progress(message),
            "notifications/roots/list_changed": self._roots_changed,
        }

    def handle(self, session, message, reply_to):
        """One message from a client, as it was decoded. The answer, if any, goes to `reply_to`,
        now or later: see ReplyTo in transports/fabric/peers.py. Raises InvalidMessage."""
        if isinstance(message, list):
            self._batch(session, message, reply_to)
            return
        message, kind = session.pending.understood(message)
        if passing.watched:
            passing.observer.from_client(session, message)
        if kind is REQUEST:
            self._request(session, message, reply_to)
        elif kind is NOTIFICATION:
            self._notification(session, message)
        elif (row := session.pending.answer(message)) is None:
            log.debug("%s: dropped an answer that no request waits for", session.name)
        elif task_id := task_id_in(message):  # the client answers with a task, for the server
            session.tasks.add(task_id, row.call.asker.upstream, message["result"]["task"])

    def _batch(self, session, messages, reply_to):
        if session.version != "2025-03-26" or not messages:
            raise InvalidMessage(INVALID_REQUEST, "a batch is only possible in revision "
                                                  "2025-03-26, and has at least one message")
        for message in messages:
            try:
                kind_of(message)    # whoever counts the answers to come cannot know more
                self.handle(session, message, reply_to)
            except InvalidMessage as problem:
                reply_to.send(problem.answer(None))

    def _notification(self, session, message):
        try:
            params = params_of(message)
        except Refused as problem:
            log.debug("%s: dropped: %s", session.name, problem)
            return
        known = self._notifications.get(message["method"])
        if known:
            known(session, message, params)
        elif session.initialized:
            session.surface.notification(session, message)

    def _request(self, session, message, reply_to):
        try:
            call = session.calls.open(message, reply_to)
        except Refused as problem:  # there is no Call; one with the same id may still be open
            reply_to.send(problem.answer(message["id"]))
            return
        route = self._requests.get(message["method"])
        if route or session.version is None:
            self._attempt(route or self._too_early, session, message, call)
            return
        if session.initialized:
            session.ready_gate.open()  # some clients forget to say `initialized`
        if not session.answered_gate.do(self._attempt, session.surface.request, session, message,
                                        call):
            call.fail(SERVER_UNAVAILABLE, "too much waits for the answer to initialize already: "
                                          "wait for that first")

    def _attempt(self, route, session, message, call):
        """Run a route; if it fails, the call is answered with an error."""
        try:
            params_of(message)
            if not call.ended:
                route(session, message, call)
        except Refused as problem:
            call.send(problem.answer(call.id))
        except Exception:  # a bug of ours
            log.exception("%s: %s failed", session.name, message["method"])
            call.fail(*BUG)

    # -- requests that the router answers

    def _too_early(self, _session, message, _call):
        """On this answer to server/discover, clients that know 2026-07-28 use initialize."""
        if message["method"] == "server/discover":
            raise Refused(METHOD_NOT_FOUND, "Method not found: server/discover")
        raise Refused(INVALID_REQUEST, f"{message['method']}: initialize comes first")

    def _initialize(self, session, message, call):
        """The answer waits until the servers have started, to say what they can do; but not for
        long, as hosts give up then. What a server asks before it is up needs this answer, too."""
        params = params_of(message)
        asked, capabilities, info = map(params.get, (
            "protocolVersion", "capabilities", "clientInfo"))
        check_said(capabilities, info)
        with self._lock:  # two POSTs may carry an `initialize` at the same time
            if session.version is not None:
                raise Refused(INVALID_REQUEST, "this session is initialized already")
            session.version = asked if asked in REVISIONS else LATEST   # Lifecycle, Initialization
        session.capabilities = capabilities if isinstance(capabilities, dict) else {}
        session.client_info = info if isinstance(info, dict) else None
        try:
            self._pool.join(session)
        except Exception:
            session.version = None  # the client may try again
            self._pool.release(session)
            raise
        if self._sessions.find(session.id) is None:  # the client left while we started them
            self._pool.release(session)
        if not self._pool.share:
            self._tell()
        self.when_opened(session, functools.partial(self._opened, session, call))

    def when_opened(self, session, function, most=math.inf):
        """Call function() when its servers are up, have failed, ask its client or are too slow."""
        seconds = min(most, session.surface.patience(session))
        when_session_settled(session, function, self._clock, seconds, or_asks=True)

    def _opened(self, session, call):
        """The session's servers are up, or have failed, or are too slow to wait for."""
        session.initialized = True  # first: it is told of what changes after the next lines
        try:
            said = session.surface.initialize(session)
            said = {**said, "capabilities": without_tasks(said["capabilities"])}
            call.send(result(call.id, said))
        except Refused as problem:
            session.version, session.initialized = None, False
            self._pool.release(session)
            call.send(problem.answer(call.id))
            before, session.answered_gate = session.answered_gate, Gate()   # it may try again
            before.open()
        else:
            session.answered_gate.open()
            log.info("%s begins: %s", session.name, session.client())

    # -- notifications that the router understands

    def _cancelled(self, session, _message, params):
        id, reason = params.get("requestId"), params.get("reason")
        if is_id(id):
            session.cancel_call(id, reason if isinstance(reason, str) else "cancelled")

    def _roots_changed(self, session, message, _params):
        for upstream in self._pool.owned(session):
            if upstream.asked_for_roots:
                upstream.send(message)
