"""Ids and progress tokens, out and home again. Pure: no thread, no queue, one lock a table.

Both ends of the router, a client's session and a server's Upstream, keep the same two tables:

    calls      what this peer asked us          {its id: Call}
    pending    what we asked this peer          {our id: who asked, with which id and token}

A client's tools/call opens a Call in the session's `calls` and an entry in the Upstream's
`pending`; a server's question is the mirror image. Teach one direction and the other is free.
"""

import itertools
import threading
import time

from .messages import (INVALID_REQUEST, SERVER_UNAVAILABLE, Refused, error, is_id, notification,
                       with_params)


class Call:
    """One request that a peer asked us and that has no answer yet.

    It is itself a Peer: what belongs to the request is sent to it, and goes out on the stream
    that the request came with; the answer goes last, and nothing follows it.
    """

    __slots__ = ("asker", "id", "method", "reply_to", "within", "ended", "_passed_on")

    def __init__(self, asker, message, reply_to, within=None):
        self.asker = asker          # the Session or Upstream that asked
        self.id = message["id"]
        self.method = message["method"]
        self.reply_to = reply_to    # a Peer: where the answer goes
        self.within = within        # for a server's question: the client's call it belongs to
        self.ended = False
        self._passed_on = []        # [(peer, our id)]: where to cancel it

    def send(self, message):
        if "method" not in message:  # an answer, and a good one: whoever read it has looked
            self.asker.calls.answer(self, message)
        elif not self.ended:
            self.reply_to.send(message)

    def fail(self, code, text, data=None):
        """Answer with an error of ours."""
        self.send(error(self.id, code, text, data))

    def passed_on(self, peer, our_id):
        """Note that the peer now has this request under our id."""
        self._passed_on.append((peer, our_id))
        # Ended meanwhile? Whoever ended it may have looked before the line above. If both of us
        # saw the entry, it is cancelled twice, and the second time finds nothing.
        if self.ended:
            peer.withdraw(our_id, "the caller has left")

    def cancel(self, reason):
        """End it without an answer, and tell those that it was passed on to."""
        if self.asker.calls.end(self):
            self.asker.calls.left()
            self.withdraw(reason)

    def withdraw(self, reason):
        """Tell those that it was passed on to that their answer is not waited for any more."""
        for peer, our_id in self._passed_on:
            peer.withdraw(our_id, reason)


class Calls:
    """What one peer asked us and we have not answered: {its id: Call}."""

    def __init__(self, asker, limit=None):
        self._asker = asker
        self._limit = limit
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        # protected by _lock:
        self._open = {}
        self._leaving = 0  # answers between this table and their stream
        self._closed = False

    def open(self, message, reply_to, within=None):
        """A new Call. Raises Refused: id still in use, too many open, or the peer is gone."""
        call = Call(self._asker, message, reply_to, within)
        with self._lock:
            if self._closed:
                raise Refused(SERVER_UNAVAILABLE, "this session has ended")
            if call.id in self._open:
                raise Refused(INVALID_REQUEST, f"id {call.id!r} is still in use by a request "
                                               "that was not answered yet")
            if self._limit and len(self._open) >= self._limit:
                raise Refused(SERVER_UNAVAILABLE, f"{self._limit} requests of this session wait "
                                                  "for an answer already: wait for some of them")
            self._open[call.id] = call
        return call

    def end(self, call):
        """Take it out of the table; True for the first to do so. Whoever that is answers it, and
        then says `left`."""
        with self._lock:
            if self._open.get(call.id) is not call:
                return False
            del self._open[call.id]
            call.ended = True
            self._leaving += 1
        return True

    def left(self):
        """The answer to a call that was ended is on its stream, or there will be none."""
        with self._lock:
            self._leaving -= 1
            if not self._leaving and not self._open:
                self._emptied.notify_all()

    def answer(self, call, message):
        """Send the call's answer, if it is the first; its id is free before the peer has it."""
        if self.end(call):
            call.reply_to.send(message)
            self.left()

    def cancel(self, id, reason):
        """The asker does not want the answer any more. An unknown id is no error: it raced."""
        with self._lock:
            call = self._open.get(id)
        # Lifecycle, Cancellation: `initialize` must not be cancelled.
        if call and call.method != "initialize":
            call.cancel(reason)
        return call

    def close(self):
        """Refuse what comes from now on; returns the calls that are still open."""
        with self._lock:
            self._closed = True
            return list(self._open.values())

    def wait_until_empty(self, seconds):
        """Block until all answers are on their stream; False if that took too long."""
        with self._lock:
            return self._emptied.wait_for(lambda: not self._open and not self._leaving, seconds)

    def __len__(self):
        with self._lock:
            return len(self._open)


class Pending:
    """One row of PendingRequests."""

    __slots__ = ("id", "token", "reply_to", "call", "heard")

    def __init__(self, id, token, reply_to, call):
        self.id = id                # the asker's id
        self.token = token          # the asker's progress token, or None
        self.reply_to = reply_to    # the Peer that gets the answer
        self.call = call            # the Call on whose behalf we ask; None if we ask ourselves
        self.heard = time.monotonic()   # when it was asked, or last made progress


class PendingRequests:
    """What we asked one peer and it has not answered: {our id: Pending}. Closed for good.

    `ids` outlives the table where the peer can be started again, so that a cancellation that
    comes late never hits a request of the peer's next life.
    """

    def __init__(self, ids=None):
        self._ids = ids or itertools.count(1)
        self._lock = threading.Lock()
        # protected by _lock:
        self._rows = {}
        self._closed = None  # why, once it is; the flag lives where add() can see it

    def add(self, message, reply_to, call=None):
        """A copy of the request under our id, with our progress token if it has one.

        Raises Refused, with the reason, once the table is closed.
        """
        our_id = next(self._ids)
        meta = (message.get("params") or {}).get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        sent = {**message, "id": our_id}
        if is_id(token):
            sent = with_params(sent, _meta={**meta, "progressToken": our_id})
        with self._lock:
            if self._closed:
                raise Refused(SERVER_UNAVAILABLE, self._closed)
            self._rows[our_id] = Pending(message["id"], token, reply_to, call)
        return sent

    def answer(self, response):
        """Send a response home under the id that it was asked with.

        Returns its row, or None if nobody waits for it any more.
        """
        row = self.take(response["id"])
        if row:
            row.reply_to.send({**response, "id": row.id})
        return row

    def progress(self, message):
        """Send a progress notification to the asker of its token, under the asker's token."""
        params = message.get("params")
        token = params.get("progressToken") if isinstance(params, dict) else None
        with self._lock:
            row = self._rows.get(token) if is_id(token) else None
        if row is None or row.token is None:
            return False
        row.heard = time.monotonic()
        row.reply_to.send(with_params(message, progressToken=row.token))
        return True

    def take(self, our_id):
        """Remove a row and return it; None if it is gone already."""
        with self._lock:
            return self._rows.pop(our_id, None)

    def close(self, reason):
        """Answer everybody who still waits with an error, at once, and refuse newcomers."""
        with self._lock:
            self._closed = reason
            rows, self._rows = self._rows, {}
        for row in rows.values():
            row.reply_to.send(error(row.id, SERVER_UNAVAILABLE, reason))

    def silent_since(self, moment):
        """Our ids of what was asked on somebody's behalf and not heard of since then."""
        with self._lock:
            return [our_id for our_id, row in self._rows.items()
                    if row.call and row.heard <= moment]

    def calls(self):
        """The calls on whose behalf something is waiting here."""
        with self._lock:
            return [row.call for row in self._rows.values() if row.call]

    def __len__(self):
        with self._lock:
            return len(self._rows)


def cancel_notification(our_id, reason):
    return notification("notifications/cancelled", {"requestId": our_id, "reason": reason})
