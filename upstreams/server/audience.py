"""The sessions that see one server, and what each of them wants to hear from it.

The server knows of one client only. So it is told what its sessions want together: each resource
that one of them subscribed to, and the lowest log level that one of them asked for."""

import functools
import threading

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import (LOG_LEVELS, SERVER_UNAVAILABLE, Refused, check_kept,
                                        notification, result)
from transports.fabric.text import log

from .catalog import CHANGED
from .life import RESTING, RUNNING

MOST_SUBSCRIPTIONS = 1000   # of one session at one server


class Subscription:
    """That of all sessions to one URI, from the first that comes to the last that leaves."""

    def __init__(self, waiting=None):
        self.sessions = set()
        self.waiting = waiting  # [(id, Peer)] while the server has not answered the first


class Audience:
    """The sessions of one upstream. Any thread may call anything here."""

    def __init__(self, upstream):
        self._upstream = upstream
        self._lock = threading.Lock()
        # protected by _lock, as is what each life was told:
        self._sessions = {}         # {session: None}, in the order they came
        self._subscriptions = {}    # URI → Subscription; one has a session, or is taken out

    def sessions(self):
        """The sessions that see this server."""
        with self._lock:
            return list(self._sessions)

    def uris(self):
        """The resources that any of them is subscribed to."""
        with self._lock:
            return list(self._subscriptions)

    def tell(self, *messages):
        """Send notifications to every session that lists from this process."""
        for session in self.sessions():
            if session.upstreams.get(self._upstream.name) is self._upstream:
                _tell(session, messages)

    def lists_changed(self, kinds=None):
        """Tell them to list these again, or all that the server had or may have now."""
        self.tell(*_changes(self._upstream.offered if kinds is None else kinds))

    # -- sessions come and go

    def join(self, session, uris=()):
        """The session lists from this process from now on, and is subscribed to these URIs."""
        with self._lock:
            self._sessions[session] = None
            for uri in uris:
                self._subscriptions.setdefault(uri, Subscription()).sessions.add(session)
        if uris and self._upstream.state == RESTING:
            self._upstream.pool.wake(self._upstream)
        self.tell_server()

    def leave(self, session):
        """The session does not list here any more, if it ever did. Returns its subscriptions."""
        with self._lock:
            self._sessions.pop(session, None)
            uris = [uri for uri, subscription in self._subscriptions.items()
                    if session in subscription.sessions]
            for uri in uris:
                self._is_last(session, uri)
        self.tell_server()
        return uris

    def tell_server(self, holder=None):
        """Tell the server what its sessions want, if this life of it does not know: their
        resources, and the lowest level that any of them, or its holder, asked for. If none asked
        for one, the server chooses."""
        life = self._upstream.life
        if life.state != RUNNING:
            return
        with self._lock:
            new = [uri for uri in self._subscriptions if uri not in life.told_uris]
            old = life.told_uris - self._subscriptions.keys()
            life.told_uris = set(self._subscriptions)
            levels = [session.log_level for session in (*self._sessions, holder)
                      if session and session.log_level]
            level = min(levels, key=LOG_LEVELS.index, default=life.told_level)
            is_new, life.told_level = level != life.told_level, level
        if is_new and "logging" in self._upstream.offered:
            self._set_level(life, level)
        for uri in old:
            self._ask(life, "resources/unsubscribe", {"uri": uri})
        self._subscribe(life, [*new, *old])

    def _set_level(self, life, level):
        """Tell the server. Another thread may have told it a later level before: then again."""
        self._ask(life, "logging/setLevel", {"level": level})
        if (latest := life.told_level) != level:
            self._set_level(life, latest)

    def _subscribe(self, life, uris):
        """Tell the server of these URIs, if anybody is subscribed. That may be news: a session may
        have subscribed just before the server was told that none is left. Twice is harmless."""
        wanted = set(self.uris())
        for uri in uris:
            if uri in wanted:
                self._ask(life, "resources/subscribe", {"uri": uri})

    def _ask(self, life, method, params):
        """No session waits for the answer, so an error goes to the log."""
        def answered(response):
            if "error" in response and life.state == RUNNING:   # else that is logged already
                log.warning("%s: %s: %s", life.entry.name, method, response["error"])
        life.ask(method, params, answered)

    # -- subscriptions

    def subscribe(self, session, message, reply_to):
        """Only the first subscription to a URI is passed on to the server. Those that come before
        it is answered get the same answer; those that come later are answered here."""
        uri, id = message["params"]["uri"], message["id"]
        check_kept(uri, "the URI")
        with self._lock:
            count = sum(session in each.sessions for each in self._subscriptions.values())
            there = self._subscriptions.get(uri)
            if count >= MOST_SUBSCRIPTIONS and not (there and session in there.sessions):
                raise Refused(SERVER_UNAVAILABLE, f"this session has {count} subscriptions here, "
                                                  "and no more are possible: end some of them")
            if session not in self._sessions:
                raise Refused(SERVER_UNAVAILABLE, f'server "{self._upstream.name}" has just been '
                                                  "replaced: try again")
            is_first = uri not in self._subscriptions
            subscription = self._subscriptions.setdefault(uri, Subscription(waiting=[]))
            subscription.sessions.add(session)
            life = self._upstream.life
            life.told_uris.add(uri)
            waits = subscription.waiting is not None
            if waits:
                subscription.waiting.append((id, reply_to))
        if not waits:
            reply_to.send(result(id, {}))
        elif is_first:
            self._ask_first(message, subscription, life)

    def _ask_first(self, message, subscription, life):
        answered = functools.partial(self._subscribed, message, subscription, life)
        try:
            self._upstream.request(message, OnAnswer(answered))
        except Refused as problem:
            answered(problem.answer(message["id"]))

    def _subscribed(self, message, subscription, life, response):
        """The server has answered the first subscription to this URI."""
        uri = message["params"]["uri"]
        if "error" in response and self._upstream.has_put_to_rest(life):
            self._ask_first(message, subscription, self._upstream.life)
            return
        with self._lock:
            waiting, subscription.waiting = subscription.waiting, None
            # It may have been ended, and another one begun, meanwhile.
            if "error" in response and self._subscriptions.get(uri) is subscription:
                del self._subscriptions[uri]
                self._upstream.life.told_uris.discard(uri)
        for id, reply_to in waiting:
            reply_to.send({**response, "id": id})

    def unsubscribe(self, session, message, call):
        """Only the end of the last subscription to a URI is passed on to the server."""
        uri, life = message["params"]["uri"], self._upstream.life
        with self._lock:
            is_last = self._is_last(session, uri)
            if is_last:
                life.told_uris.discard(uri)
        try:
            if is_last:
                self._upstream.request(message, reply_to=call, call=call)
                self._subscribe(life, [uri])
                return
        except Refused as problem:
            log.debug("%s: %s", life.entry.name, problem)   # its next life will not know the URI
        call.send(result(call.id, {}))

    def _is_last(self, session, uri):
        """Take the session out of this subscription; whether none is left. Requires the lock."""
        sessions = self._subscriptions.get(uri, Subscription()).sessions
        sessions.discard(session)
        if not sessions:
            self._subscriptions.pop(uri, None)
        return not sessions

    def is_subscribed(self, session, uri):
        with self._lock:
            return uri in self._subscriptions and session in self._subscriptions[uri].sessions

    def subscribers(self, uri):
        """The sessions that subscribed to this resource, or to one that it is a part of."""
        with self._lock:
            return {session for subscribed, subscription in self._subscriptions.items()
                    if uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/")
                    for session in subscription.sessions}


def lists_changed(session, capabilities):
    """Tell a session to list again what a server with these capabilities has, or had."""
    _tell(session, _changes(capabilities))


def _changes(capabilities):
    return [notification(method) for method, kind in CHANGED.items() if kind in capabilities]


def _tell(session, messages):
    """Who has asked for no list need not hear that it has changed: one host has a deadlock."""
    for message in messages:
        if session.initialized and (session.listed or message["method"] not in CHANGED):
            session.send(message)
