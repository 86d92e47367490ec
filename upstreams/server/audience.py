"""The sessions that see one server, and what each of them wants to hear from it.

The server knows of one client only. So it is told what its sessions want together: one
subscription to a resource however many sessions have one, and the lowest log level that any of
them asked for.
"""

import functools
import logging
import threading

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import (LOG_LEVELS, SERVER_UNAVAILABLE, Refused, error,
                                        notification, request, result)

from .catalog import CHANGED

log = logging.getLogger("router")

MOST_SUBSCRIPTIONS = 1000   # of one session at one server


class Audience:
    """The sessions of one upstream. Any thread may call anything here."""

    def __init__(self, upstream):
        self._upstream = upstream
        self._lock = threading.Lock()
        # protected by _lock:
        self._sessions = {}     # {session: None}, in the order they came
        self._subscribers = {}  # URI → {session}
        # URI → [(id, Peer)]: subscriptions that the server has not answered yet
        self._unanswered = {}
        self._told_level = None     # the log level that the server was told last

    def sessions(self):
        """The sessions that see this server."""
        with self._lock:
            return list(self._sessions)

    def uris(self):
        """The resources that any of them is subscribed to."""
        with self._lock:
            return list(self._subscribers)

    def tell(self, message):
        """Send a notification to every session that lists from this process."""
        for session in self.sessions():
            if session.upstreams.get(self._upstream.name) is self._upstream:
                _tell(session, message)

    # -- sessions come and go, and so does the server

    def join(self, session, uris=()):
        """The session lists from this process from now on, and is subscribed to these URIs."""
        with self._lock:
            self._sessions[session] = None
            new = [uri for uri in uris if uri not in self._subscribers]
            for uri in uris:
                self._subscribers.setdefault(uri, set()).add(session)
        for uri in new:
            self._ask("resources/subscribe", {"uri": uri})
        self.tell_level()

    def leave(self, session):
        """The session does not list from this process any more. No error if it never did.

        Returns the URIs that it was subscribed to.
        """
        with self._lock:
            self._sessions.pop(session, None)
            subscribed = [uri for uri, sessions in self._subscribers.items()
                          if session in sessions]
            unwanted = [uri for uri, sessions in self._subscribers.items()
                        if sessions == {session}]
            for uri in unwanted:
                del self._subscribers[uri]
            for sessions in self._subscribers.values():
                sessions.discard(session)
        for uri in unwanted:
            self._ask("resources/unsubscribe", {"uri": uri})
            self._renew_subscription(uri)
        self.tell_level()
        return subscribed

    def came_up(self):
        """The server has started, for the first time or again. Tell it what a new process does
        not know, and tell its sessions that its lists are new."""
        with self._lock:
            self._told_level = None
        self.tell_level()
        for uri in self.uris():
            self._ask("resources/subscribe", {"uri": uri})
        self.lists_changed()

    def lists_changed(self):
        """Tell the sessions to list everything again that the server had, or may have now."""
        for message in _changes(self._upstream.offered):
            self.tell(message)

    # -- log level

    def tell_level(self, holder=None):
        """Tell the server the lowest level that any of its sessions, or its holder, asked for, if
        that is new.

        Sessions that never asked for a level do not count; if none did, the server chooses.
        """
        if "logging" not in self._upstream.capabilities or not self._upstream.is_running():
            return
        with self._lock:
            sessions = [*self._sessions, *([holder] if holder else [])]
            asked_for = [LOG_LEVELS.index(session.log_level) for session in sessions
                         if session.log_level]
            level = LOG_LEVELS[min(asked_for)] if asked_for else self._told_level
            is_new = level != self._told_level
            self._told_level = level
        if is_new:
            self._ask("logging/setLevel", {"level": level})

    # -- subscriptions

    def subscribe(self, session, message, reply_to):
        """Only the first subscription to a URI is passed on to the server. Those that come before
        it is answered get the same answer; those that come later are answered here."""
        uri, id = message["params"]["uri"], message["id"]
        with self._lock:
            count = sum(session in sessions for sessions in self._subscribers.values())
            if count >= MOST_SUBSCRIPTIONS:
                raise Refused(SERVER_UNAVAILABLE, f"this session has {count} subscriptions here, "
                                                  "and no more are possible: end some of them")
            subscribers = self._subscribers.setdefault(uri, set())
            is_first = not subscribers
            subscribers.add(session)
            if is_first:
                self._unanswered[uri] = []
            waiting = self._unanswered.get(uri)
            if waiting is not None:
                waiting.append((id, reply_to))
        if is_first:
            try:
                self._upstream.request(message, reply_to=OnAnswer(
                    functools.partial(self._subscription_answered, uri, waiting)))
            except Refused as problem:
                self._subscription_answered(uri, waiting, error(id, problem.code, str(problem)))
        elif waiting is None:
            reply_to.send(result(id, {}))

    def _subscription_answered(self, uri, waiting, response):
        with self._lock:
            if self._unanswered.get(uri) is waiting:  # else it was ended and begun again meanwhile
                del self._unanswered[uri]
                if "error" in response:
                    self._subscribers.pop(uri, None)
        for id, reply_to in waiting:
            reply_to.send({**response, "id": id})

    def unsubscribe(self, session, message, call):
        """Only the end of the last subscription to a URI is passed on to the server."""
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
            self._renew_subscription(uri)

    def _renew_subscription(self, uri):
        """A session may have subscribed just before the server was told that none is left: then
        the server ends that subscription too, so it has to be told of it again. If it was told
        anyway, in the right order, once more does no harm."""
        with self._lock:
            wanted = bool(self._subscribers.get(uri))
        if wanted:
            self._ask("resources/subscribe", {"uri": uri})

    def is_subscribed(self, session, uri):
        with self._lock:
            return session in self._subscribers.get(uri, ())

    def subscribers(self, uri):
        """The sessions that subscribed to this resource, or to one that it is a part of."""
        with self._lock:
            return {session for subscribed, sessions in self._subscribers.items()
                    if uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/")
                    for session in sessions}

    # -- what we ask on behalf of all of them

    def _ask(self, method, params):
        """No session waits for the answer, so an error goes to the log. A process that rests is
        told when it comes back."""
        if method != "resources/subscribe" and not self._upstream.is_running():
            return
        try:
            self._upstream.request(request(method, params), OnAnswer(self._log_error))
        except Refused as problem:
            log.debug("%s: %s: %s", self._upstream.name, method, problem)

    def _log_error(self, response):
        problem = response.get("error")
        if problem and self._upstream.is_running():  # or it has ended, and that is logged
            log.warning("%s: refused what we asked on behalf of its sessions: %s",
                        self._upstream.name, response["error"])


def lists_changed(session, capabilities):
    """Tell a session to list again what a server with these capabilities has, or had."""
    for message in _changes(capabilities):
        _tell(session, message)


def _changes(capabilities):
    return [notification(method) for method, lists in CHANGED.items()
            if lists[0].split("/")[0] in capabilities]


def _tell(session, message):
    """That a list has changed is of no use to a session that has not asked for any list yet, and
    one host has a deadlock then."""
    if session.initialized and (session.listed or message["method"] not in CHANGED):
        session.send(message)
