"""One `subscriptions/listen` for each life of a modern server (2026-07-28, Subscriptions).

It asks for the changes of all lists, and for the resources that any session subscribed to. When
these change, the *next* one is sent. Once the server acknowledges it, it is the *current* one, and
the one before is cancelled: nothing is lost between them. Only the current one counts, so nothing
is told twice.

    current   next
    none      sent    at the start, or after the server has ended the current one
    counts    none    the usual state
    counts    sent    what is wanted has changed
    none      none    refused or ended: until somebody wants something else, or, as the stream of a
                      remote server may break, for a pause. Then all lists are new: some change
                      may have been missed
"""

import functools
import threading

from transports.fabric.gather import GrowingPause, OnAnswer
from transports.fabric.messages import (INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_UNAVAILABLE,
                                        Refused, dig, error, request, result)
from transports.fabric.pending import cancel_notification
from transports.fabric.text import log
from upstreams.server.life import RUNNING

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before a stream that broke is opened again

_CHANGES = {"tools": "toolsListChanged", "prompts": "promptsListChanged",
            "resources": "resourcesListChanged"}


class Subscription:
    """One `subscriptions/listen`."""

    def __init__(self, uris, waiting):
        self.uris = uris        # that it asks for; later, that the server agreed to
        self.waiting = waiting  # [(URI, id, reply_to)]: what its acknowledgement answers
        self.our_id = None      # set before it is sent


class Listening:
    """What we hear of one life of a server. Answers come in the reader thread; any thread may
    subscribe."""

    def __init__(self, life, capabilities, meta):
        self._life, self._meta = life, meta
        self._audience = life.upstream.audience
        self._is_stream = life.entry.url is not None
        self._pause = GrowingPause(PAUSE, LONGEST_PAUSE)
        self._changes = {asked: True for kind, asked in _CHANGES.items()
                         if dig(capabilities, kind, "listChanged")}
        self._lock = threading.Lock()
        # protected by _lock:
        self._wanted = frozenset(self._audience.uris())
        self._waiting = []      # as a Subscription's: what the one after the next will answer
        self._current = self._next = None   # Subscriptions

    def begin(self, put):
        """Send the first one; put(True) is called when it is acknowledged, put(None) if it is
        refused."""
        self._waiting.append((None, 0, OnAnswer(lambda answer: put(
            None if "error" in answer else True))))
        self._look()

    def subscribe(self, message, reply_to):
        """Answered when the server has acknowledged it: from then on nothing is missed."""
        uri, id, clock = message["params"]["uri"], message["id"], self._life.upstream.clock
        row = uri, id, reply_to
        if timeout := self._life.entry.timeout:
            deadline = clock.after(timeout, lambda: self._too_late(row))

            def answered(answer):
                clock.forget(deadline)
                reply_to.send(answer)
            row = uri, id, OnAnswer(answered, reply_to)
        with self._lock:
            self._wanted |= {uri}
            self._waiting.append(row)
        self._look()

    def _too_late(self, row):
        """Called by the clock, for a server that acknowledges nothing."""
        uri, id, reply_to = row
        with self._lock:
            rows = next((rows for rows in (self._waiting, self._next.waiting if self._next else [])
                         if row in rows), None)
            if rows is None:
                return
            rows.remove(row)
            self._wanted -= {uri}
        entry = self._life.entry
        reply_to.send(error(id, SERVER_UNAVAILABLE, f'server "{entry.name}" did not answer within '
                                                    f"{entry.timeout:g} seconds"))

    def unsubscribe(self, message, reply_to):
        with self._lock:
            self._wanted -= {message["params"]["uri"]}
        self._look()
        reply_to.send(result(message["id"], {}))

    def is_current(self, our_id):
        """Whether this is the subscription that counts now."""
        found = self._with(our_id)
        return found is not None and found is self._current

    def _with(self, our_id):
        """The Subscription that has this id, or None."""
        with self._lock:
            return next((each for each in (self._current, self._next)
                         if each and None is not each.our_id == our_id), None)

    def _look(self):
        """Send the next one if what is wanted has changed. While there is a next one it is left
        alone: whatever becomes of it, we look again then."""
        with self._lock:
            if self._next:
                return
            waiting, self._waiting = self._waiting, []
            changed = not self._current or self._current.uris != self._wanted
            if changed:
                self._next = new = Subscription(self._wanted, waiting)
        if not changed:
            for _, id, reply_to in waiting:  # it is heard already, or not wanted any more
                reply_to.send(result(id, {}))
            return
        uris = {"resourceSubscriptions": sorted(new.uris)} if new.uris else {}
        if not uris and not self._changes:
            self._becomes_current(new, ())
            return
        asked = request(LISTEN, {"notifications": {**self._changes, **uris}, "_meta": self._meta})
        try:
            sent = self._life.pending.add(asked, OnAnswer(functools.partial(self._ended, new)))
            new.our_id = sent["id"]
            self._life.send(sent)
        except Refused as problem:
            self._ended(new, problem.answer(0))

    # -- called by the reader thread

    def acknowledged(self, our_id, agreed):
        uris = dig(agreed, "resourceSubscriptions")
        self._becomes_current(self._with(our_id), uris if isinstance(uris, list) else ())

    def cancelled(self, our_id):
        """The server ends a subscription; False if it is none of ours."""
        subscription = self._with(our_id)
        if subscription:
            self._life.pending.take(our_id)
            self._ended(subscription, result(our_id, {}))
        return subscription is not None

    def _becomes_current(self, new, agreed):
        """`agreed`: the URIs that the server will tell of."""
        with self._lock:
            if new is None or new is not self._next:
                return
            before, self._current, self._next = self._current, new, None
            refused = new.uris - {uri for uri in agreed if isinstance(uri, str)}
            self._wanted -= refused
            new.uris -= refused
            waiting, new.waiting = new.waiting, []
        late = self._life.settled   # it did not wait for us, or the one before has ended
        self._pause.reset()
        if before and self._life.pending.take(before.our_id):
            self._life.send(cancel_notification(before.our_id, "it is not needed any more"))
        for uri, id, reply_to in waiting:
            reply_to.send(result(id, {}) if uri not in refused else error(
                id, INVALID_PARAMS, f"the server does not tell of changes of {uri}"))
        if not before and late:
            self._audience.lists_changed()
        self._look()

    def _ended(self, subscription, response):
        """The server has refused or ended it."""
        problem = response.get("error") or {"code": INVALID_PARAMS, "message":
                                            "the server has ended the subscription"}
        final = dig(response, "error", "code") in (METHOD_NOT_FOUND, INVALID_PARAMS)
        with self._lock:
            refused = subscription is self._next
            if refused:
                self._next = None
                self._wanted -= {uri for uri, _, _ in subscription.waiting}
            elif subscription is self._current:
                self._current = None
            more = refused and self._waiting
            silent = not self._current and not self._next
        if silent and self._is_stream and not final and self._life.state == RUNNING:
            self._life.upstream.clock.after(self._pause.next(), self._look)
        if refused:
            log.debug("%s was refused: %s", LISTEN, problem)
            for _, id, reply_to in subscription.waiting:
                reply_to.send({"jsonrpc": "2.0", "id": id, "error": problem})
        if more:
            self._look()
