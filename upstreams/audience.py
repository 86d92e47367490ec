"""What a server says of its own accord, and which sessions hear it.

A legacy server over stdio does not say on whose behalf it asks or logs, and guessing hands one
person's question to another. So only a server that belongs to one session, its `owner`, may ask
anything; of a shared one, a log line goes to a session only when it can be nobody else's.

`hear` runs in the server's reader thread; the rest in whatever thread carries a client's message.
"""

import logging
import threading

from transports.fabric.messages import (LOG_LEVELS, METHOD_NOT_FOUND, Refused, error, is_id,
                                        notification, params_of, request, result)

log = logging.getLogger("router")

# What a server may say of its lists → the lists that this concerns.
CHANGED = {
    "notifications/tools/list_changed": ["tools/list"],
    "notifications/prompts/list_changed": ["prompts/list"],
    "notifications/resources/list_changed": ["resources/list", "resources/templates/list"],
}


class Audience:
    """Who sees one upstream, and what each of them wants to hear from it."""

    def __init__(self, upstream, owner=None):
        self.owner = owner      # the one session that this upstream works for; None: it is shared
        self._upstream = upstream
        self._lock = threading.Lock()
        # protected by _lock:
        self._sessions = set()
        self._subscribers = {}  # URI → {session}
        self._waiting = {}      # URI → [Call]: subscriptions that the server has not answered yet
        self._told_level = None
        self._known = {
            "ping": self._ping,
            "notifications/progress": self._progress,
            "notifications/message": self._log_line,
            "notifications/resources/updated": self._updated,
            "notifications/cancelled": self._cancelled,
            "notifications/tasks/status": self._task_news,
        }

    # -- called by the threads that carry a client's messages

    def join(self, session):
        """The session sees this server from now on."""
        with self._lock:
            self._sessions.add(session)
        self.tell_level()

    def leave(self, session):
        """The session is gone, and with it what it wanted to hear."""
        with self._lock:
            self._sessions.discard(session)
            left = [uri for uri, them in self._subscribers.items() if them == {session}]
            for them in self._subscribers.values():
                them.discard(session)
            for uri in left:
                del self._subscribers[uri]
        for uri in left:
            self._ask("resources/unsubscribe", {"uri": uri})
            self._subscribe_again(uri)
        self.tell_level()

    def _subscribe_again(self, uri):
        """Somebody may have subscribed just before the server was told that nobody does."""
        with self._lock:
            wanted = bool(self._subscribers.get(uri)) and uri not in self._waiting
        if wanted:
            self._ask("resources/subscribe", {"uri": uri})

    def sessions(self):
        """Who sees this server."""
        with self._lock:
            return list(self._sessions)

    def subscribe(self, session, message, call):
        """The server is told once, by the first; whoever comes meanwhile gets the same answer."""
        uri = message["params"]["uri"]
        with self._lock:
            subscribers = self._subscribers.setdefault(uri, set())
            first = not subscribers
            subscribers.add(session)
            if first:
                self._waiting[uri] = []
            waiting = self._waiting.get(uri)
            if waiting is not None:
                waiting.append(call)
        if first:
            answer = _Subscription(self, uri)
            try:
                self._upstream.request(message, reply_to=answer)
            except Refused as problem:
                answer.send(error(call.id, problem.code, str(problem)))
        elif waiting is None:
            call.send(result(call.id, {}))

    def is_subscribed(self, session, uri):
        with self._lock:
            return session in self._subscribers.get(uri, ())

    def subscribed(self, uri, response):
        """The server has answered the first subscription to this URI."""
        with self._lock:
            waiting = self._waiting.pop(uri, [])
            if "error" in response:
                self._subscribers.pop(uri, None)
        for call in waiting:
            call.send({**response, "id": call.id})

    def unsubscribe(self, session, message, call):
        """The server is told by the last one to leave."""
        uri = message["params"]["uri"]
        with self._lock:
            subscribers = self._subscribers.get(uri, set())
            others = subscribers - {session}
            if others:
                subscribers.discard(session)
            else:
                self._subscribers.pop(uri, None)
        if others:
            call.send(result(call.id, {}))
        else:
            self._upstream.request(message, reply_to=call, call=call)
            self._subscribe_again(uri)

    def tell_level(self):
        """Tell the server the most talkative level that any of its sessions wants, if that is new.

        A session that never asked for one leaves the choice to the server.
        """
        if "logging" not in self._upstream.capabilities:
            return
        with self._lock:
            wanted = [LOG_LEVELS.index(session.log_level) for session in self._sessions
                      if session.log_level]
            level = LOG_LEVELS[min(wanted)] if wanted else self._told_level
            news = level != self._told_level
            self._told_level = level
        if news:
            self._ask("logging/setLevel", {"level": level})

    # -- called when the server has come up, first or again

    def came_up(self):
        """What a new process does not know yet; and its lists are news to those already here."""
        with self._lock:
            self._told_level = None
            uris = list(self._subscribers)
        self.tell_level()
        for uri in uris:
            self._ask("resources/subscribe", {"uri": uri})
        self.lists_changed()

    def lists_changed(self):
        """Everything that the server had, or may have, is to be listed again."""
        capabilities = self._upstream.info.get("capabilities")
        capabilities = capabilities if isinstance(capabilities, dict) else {}
        for method, lists in CHANGED.items():
            if lists[0].split("/")[0] in capabilities:
                self._tell_initialized(notification(method))

    # -- called by the server's reader thread

    def hear(self, message):
        """A request or notification of the server."""
        try:
            params = params_of(message)
            known = self._known.get(message["method"])
            if known:
                known(message, params)
            elif "id" in message:
                self._question(message)
            elif self.owner:
                self.owner.send(message)
            else:
                self._tell_initialized(message)
        except Refused as problem:
            if "id" in message:
                self._upstream.send(error(message["id"], problem.code, str(problem), problem.data))
            else:
                log.warning("%s: dropped: %s", self._upstream.name, problem)

    def _ping(self, message, _params):
        if "id" in message:
            self._upstream.send(result(message["id"], {}))

    def _progress(self, message, _params):
        if not self._upstream.pending.progress(message):
            log.debug("%s: progress that nobody waits for was dropped", self._upstream.name)

    def _cancelled(self, _message, params):
        """The server takes back what it asked."""
        if is_id(params.get("requestId")):
            self._upstream.calls.cancel(params["requestId"], params.get("reason", ""))

    def _question(self, message):
        """Sampling, elicitation, roots, or whatever a server may ask in a revision to come."""
        if self.owner is None:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {message['method']}: this server "
                                            "is shared, so there is nobody it could ask")
        calls = self._upstream.pending.calls()
        call = self._upstream.calls.open(message, reply_to=self._upstream,
                                         within=calls[0] if len(calls) == 1 else None)
        if message["method"] == "roots/list":
            self._upstream.asked_for_roots = True
        try:
            self.owner.ask(message, call)
        except Refused as problem:
            call.fail(problem.code, str(problem), problem.data)

    def _log_line(self, message, params):
        """To whom it must belong; where that is not certain, to our own log only."""
        calls = self._upstream.pending.calls()
        concerned = {self.owner} if self.owner else ({call.asker for call in calls}
                                                     or set(self.sessions()))
        if len(concerned) != 1:
            log.debug("%s: a log line that could be anybody's: %s", self._upstream.name, message)
            return
        session = concerned.pop()
        if not self._wants(session, params.get("level")):
            return
        if len(calls) == 1:
            session.when_ready(calls[0].send, message)
        else:
            session.send(message)

    def _wants(self, session, level):
        least = session.log_level
        return (least is None or level not in LOG_LEVELS
                or LOG_LEVELS.index(level) >= LOG_LEVELS.index(least))

    def _updated(self, message, params):
        """To the subscribers of the resource, or of one that it is a part of."""
        uri = str(params.get("uri"))
        with self._lock:
            hearers = {self.owner} if self.owner else {
                session for subscribed, them in self._subscribers.items()
                if uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/")
                for session in them}
        for session in hearers:
            session.send(message)

    def _task_news(self, message, params):
        task_id = str(params.get("taskId"))
        for session in [self.owner] if self.owner else self.sessions():
            if session.tasks.get(task_id) is self._upstream or session is self.owner:
                session.send(message)

    def _tell_initialized(self, message):
        for session in self.sessions():
            if session.initialized:
                session.send(message)

    def _ask(self, method, params):
        """Ask something for ourselves: nobody waits for the answer."""
        try:
            self._upstream.request(request(method, params), reply_to=self)
        except Refused as problem:
            log.debug("%s: %s: %s", self._upstream.name, method, problem)

    def send(self, response):
        """The answer to what we asked for ourselves."""
        if "error" in response:
            log.warning("%s: refused what we asked on behalf of its sessions: %s",
                        self._upstream.name, response["error"])


class _Subscription:
    """A Peer for the answer to the first subscription of a URI."""

    def __init__(self, audience, uri):
        self._audience, self._uri = audience, uri

    def send(self, message):
        if "method" not in message:  # progress belongs to one caller, and here may be several
            self._audience.subscribed(self._uri, message)
