"""One `subscriptions/listen` for each life of a modern server (2026-07-28, Subscriptions).

It asks for the changes of all lists, and for the resources that any session subscribed to. When
these change, another one is opened, and the one before it is cancelled once the new one is
acknowledged: nothing is lost between them. Only one of the two counts at any time, so nothing is
told twice. That of a remote server is a stream, which may break at any time: it is opened again
after a pause, and since something may have been missed, all lists are new then.
"""

import functools
import logging
import threading

from transports.fabric.gather import OnAnswer
from transports.fabric.messages import INVALID_PARAMS, Refused, error, request, result
from transports.fabric.pending import cancel_notification

log = logging.getLogger("router")

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"

_CHANGES = {"tools": "toolsListChanged", "prompts": "promptsListChanged",
            "resources": "resourcesListChanged"}


PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before a stream is opened again; doubled each time


class Subscription:
    """One `subscriptions/listen`."""

    def __init__(self, uris):
        self.uris = uris        # that it asks for; later, that the server agreed to
        self.our_id = None      # set before it is sent


class Listening:
    """What we hear of one life of a server. Answers come in the reader thread; any thread may
    subscribe."""

    def __init__(self, upstream, life, capabilities, meta, clock):
        self._life, self._meta, self._clock = life, meta, clock
        self._is_stream = upstream.entry.url is not None
        self._lists_changed = upstream.audience.lists_changed
        self._changes = {
            asked: True for kind, asked in _CHANGES.items()
            if isinstance(capabilities.get(kind), dict) and capabilities[kind].get("listChanged")}
        self._begun = None      # put(value): called at the first acknowledgement or refusal
        self._lock = threading.Lock()
        # protected by _lock:
        self._wanted = frozenset(upstream.audience.uris())
        self._broken = False    # whether there was a stream, and there is none
        self._pause = PAUSE
        self._current = self._opening = None    # Subscriptions
        self._waiting = []      # [(URI, id, reply_to)]: subscriptions not acknowledged yet

    def begin(self, put):
        """Open the first one; put(True) is called when it is acknowledged, put(None) if it is
        refused."""
        self._begun = put
        self._open()

    def subscribe(self, message, reply_to):
        """Answered when the server has acknowledged it: from then on nothing is missed."""
        uri = message["params"]["uri"]
        with self._lock:
            self._wanted |= {uri}
            heard = self._current is not None and uri in self._current.uris
            if not heard:
                self._waiting.append((uri, message["id"], reply_to))
        if heard:
            reply_to.send(result(message["id"], {}))
        else:
            self._open()

    def unsubscribe(self, message, reply_to):
        uri = message["params"]["uri"]
        with self._lock:
            self._wanted -= {uri}
            over = [each for each in self._waiting if each[0] == uri]
            self._waiting = [each for each in self._waiting if each[0] != uri]
        for _, id, waiting in over:  # no subscription will answer it any more
            waiting.send(result(id, {}))
        self._open()
        reply_to.send(result(message["id"], {}))

    def is_current(self, our_id):
        """Whether this is the subscription that counts now."""
        with self._lock:
            return self._current is not None and self._current.our_id == our_id

    def _open(self):
        """Open another one if what is wanted has changed, unless one is being opened: what
        follows that looks again."""
        with self._lock:
            if self._opening or self._current and self._current.uris == self._wanted:
                return
            self._opening = new = Subscription(self._wanted)
        uris = {"resourceSubscriptions": sorted(new.uris)} if new.uris else {}
        if not uris and not self._changes:
            self._replace(new, ())
            return
        try:
            sent = self._life.pending.add(
                request(LISTEN, {"notifications": {**self._changes, **uris}, "_meta": self._meta}),
                OnAnswer(functools.partial(self._ended, new)))
        except Refused as problem:  # this life is over
            with self._lock:
                self._broken = False
            self._ended(new, error(0, problem.code, str(problem)))
        else:
            new.our_id = sent["id"]
            self._life.send(sent)

    # -- called by the reader thread

    def acknowledged(self, our_id, agreed):
        with self._lock:
            new = self._opening if self._opening and self._opening.our_id == our_id else None
        if new:
            uris = agreed.get("resourceSubscriptions") if isinstance(agreed, dict) else None
            self._replace(new, uris if isinstance(uris, list) else ())

    def cancelled(self, our_id):
        """The server ends a subscription; False if it is none of ours."""
        with self._lock:
            ended = [each for each in (self._current, self._opening)
                     if each and each.our_id == our_id]
        for subscription in ended:
            self._life.pending.take(our_id)
            self._ended(subscription, result(our_id, {}))
        return bool(ended)

    def _replace(self, new, agreed):
        """The new one counts from now on. `agreed`: the URIs that the server will tell of."""
        with self._lock:
            if new is not self._opening:
                return
            before, self._current, self._opening = self._current, new, None
            was_broken, self._broken, self._pause = self._broken, False, PAUSE
            answered = self._take_waiting(new)
            refused = new.uris - {uri for uri in agreed if isinstance(uri, str)}
            self._wanted -= refused
            new.uris -= refused
        if before and self._life.pending.take(before.our_id):
            self._life.send(cancel_notification(
                before.our_id, "it is not needed any more"))
        for uri, id, reply_to in answered:
            reply_to.send(result(id, {}) if uri not in refused else error(
                id, INVALID_PARAMS, f"the server does not tell of changes of {uri}"))
        self._tell_begun(True)
        if was_broken:
            self._lists_changed()
        self._open()

    def _ended(self, subscription, response):
        """The server has refused or ended it: what it was asked for is not heard until somebody
        wants something else."""
        problem = response.get("error") or {"code": INVALID_PARAMS, "message":
                                            "the server has ended the subscription"}
        with self._lock:
            if subscription is self._current:
                self._current, self._broken = None, self._is_stream
            failed = None
            if subscription is self._opening:
                self._opening = None
                failed = self._take_waiting(subscription)
                self._wanted -= {uri for uri, _, _ in failed}
                more = bool(self._waiting)
            again = self._broken and not self._opening and self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE) if again else self._pause
        if again:
            self._clock.after(again, self._open)
        if failed is None:
            return
        log.debug("%s was refused: %s", LISTEN, problem)
        for _, id, reply_to in failed:
            reply_to.send({"jsonrpc": "2.0", "id": id, "error": problem})
        self._tell_begun(None)
        if more:
            self._open()

    def _take_waiting(self, subscription):
        """Those that this subscription answers. Requires the lock."""
        taken = [each for each in self._waiting if each[0] in subscription.uris]
        self._waiting = [each for each in self._waiting if each[0] not in subscription.uris]
        return taken

    def _tell_begun(self, value):
        begun, self._begun = self._begun, None
        if begun:
            begun(value)
