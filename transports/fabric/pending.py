"""Ids and progress tokens, out and home again. Pure: no thread, no queue, one lock for each table.

Both ends of the router, a client's Session and a server's life, keep the same two tables:

    calls      what this peer asked us          {its id: Call}
    pending    what we asked this peer          {our id: who asked, with which id and token}

A client's call has a row in its session's `calls` and one in the server's `pending`."""

import itertools
import re
import threading
import time
import weakref

from .messages import (INTERNAL_ERROR, INVALID_REQUEST, RESPONSE, SERVER_UNAVAILABLE,
                       InvalidMessage, Refused, check_kept, dig, encode, error, is_id, kind_of,
                       notification, with_params, without_keys)
from .text import log

BUG = INTERNAL_ERROR, "a bug in the router; its log says more"
_NUMBER = re.compile(r"[\['\s]*([0-9]{1,18})(?:\.0)?['\s\]]*")
LATE_CALLS = 100    # of which it is remembered who asked, for what a server says too late


class Call:
    """One request that a peer asked us and that has no answer yet. It is a Peer: what belongs to
    the request is sent to it and goes on to `reply_to`, and nothing after the answer."""

    def __init__(self, asker, message, reply_to, within=None):
        self.asker = asker          # the Session, or the Life of a server, that asked
        self.id, self.method = message["id"], message["method"]
        self.reply_to = reply_to    # a Peer: where the answer goes
        self.within = within        # for a server's question: the client's call it belongs to
        self.ended = False
        self._passed_on = []        # [(peer, our id)]: where to withdraw it
        self.last_at = None         # the peer that it was sent to last, or just is
        self._on_end = []           # functions; protected by the lock of the asker's Calls

    def send(self, message):
        if "method" not in message:  # an answer; its table checks whether it is the first
            self.asker.calls.end(self, message)
        elif not self.ended:
            self.reply_to.send(message)

    def fail(self, code, text, data=None):
        """Answer with an error of ours."""
        self.send(error(self.id, code, text, data))

    def passed_on(self, peer, our_id):
        """This peer, a Life or a Session, has the request under our id, and can `withdraw` it."""
        self._passed_on.append((peer, our_id))
        # If the thread that ended it has seen this entry, the second withdrawal finds nothing.
        if self.ended:
            peer.withdraw(our_id, "the caller has left")

    def is_at(self, peer):
        """Whether it was passed on to this peer."""
        return any(there is peer for there, _ in self._passed_on)

    def on_end(self, function):
        """Call function() once the call has ended, however it did; at once if it has."""
        with self.asker.calls.lock:
            if not self.ended:
                self._on_end.append(function)
                return
        function()

    def cancel(self, reason):
        """End it without an answer, and withdraw it. False if an answer was faster."""
        if not self.asker.calls.end(self):
            return False
        self.withdraw(reason)
        return True

    def withdraw(self, reason):
        """Nobody waits for the answer of the peers that have it any more."""
        for peer, our_id in self._passed_on:
            peer.withdraw(our_id, reason)


class Calls:
    """What one peer asked us and we have not answered: {its id: Call}."""

    def __init__(self, asker, limit=None):
        self._asker, self._limit = asker, limit
        self.lock = threading.Lock()
        self._emptied = None    # the Event of whoever waits for that
        # protected by the lock:
        self._open = {}
        self._leaving = 0  # answers that have left this table and not yet reached their peer

    def open(self, message, reply_to, within=None):
        """A new Call. Raises Refused: id in use, too many open, or the peer is gone."""
        call = Call(self._asker, message, reply_to, within)
        check_kept(call.id, "the id")
        with self.lock:
            if self._asker is None:
                raise Refused(SERVER_UNAVAILABLE, "this session has ended")
            if call.id in self._open:
                raise Refused(INVALID_REQUEST, f"id {call.id!r} is still in use by a request "
                                               "that was not answered yet")
            if self._limit and len(self._open) >= self._limit:
                raise Refused(SERVER_UNAVAILABLE, f"{self._limit} requests of this session wait "
                                                  "for an answer already: wait for some of them")
            self._open[call.id] = call
        return call

    def end(self, call, answer=None):
        """Take it out of the table, and send its answer, if any. True for the first caller."""
        with self.lock:
            if self._open.get(call.id) is not call:
                return False
            del self._open[call.id]
            call.ended = True
            self._leaving += 1
        for function in call._on_end:  # first: the peer may act on its answer at once
            _attempt(function)
        if answer is not None and not _attempt(call.reply_to.send, answer):
            call.reply_to.send(error(call.id, *BUG))
        with self.lock:
            self._leaving -= 1
            if self._emptied and not self._leaving and not self._open:
                self._emptied.set()
                self._emptied = None
        return True

    def cancel(self, id, reason):
        """The asker takes its request back: the Call that ends by this, or None; no error."""
        call = self.find(id)
        # Cancellation, Behavior Requirements: `initialize` must not be cancelled.
        return call if call and call.method != "initialize" and call.cancel(reason) else None

    def close(self):
        """Refuse what comes from now on; returns the calls that are still open."""
        with self.lock:
            self._asker = None      # which has this table: so an ended session is freed at once
            return list(self._open.values())

    def find(self, id):
        """The Call with this id that is still open, or None."""
        return self._open.get(id)

    def all(self):
        with self.lock:
            return list(self._open.values())

    def wait_until_empty(self, seconds):
        """Block until all answers have been sent; False if that took too long."""
        emptied = threading.Event()
        with self.lock:
            if not self._open and not self._leaving:
                return True
            self._emptied = emptied = self._emptied or emptied
        return emptied.wait(seconds)

    def __len__(self):
        return len(self._open)


class Pending:
    """One row of PendingRequests."""

    def __init__(self, id, token, reply_to, call):
        self.id, self.token = id, token     # the asker's; the token of progress may be None
        self.reply_to = reply_to    # the Peer that gets the answer
        self.call = call            # the Call on whose behalf we ask; None if we ask ourselves
        self.is_for_others = bool(call) or id is not None   # a subscription has an id alone
        self.heard = time.monotonic()   # when it was asked, or last made progress

    def answer(self, response):
        """Send a response home, under its asker's id. A bug of ours in that ends the call."""
        if not _attempt(self.reply_to.send, {**response, "id": self.id}) and self.call:
            self.call.fail(*BUG)


class PendingRequests:
    """What we asked one peer and it has not answered: {our id: Pending}. Once closed, it stays so.
    A server's next life goes on with the `ids` of the last: late cancellations hit nothing."""

    def __init__(self, ids=None):
        self._ids = ids or itertools.count(1)
        self._lock = threading.Lock()
        # protected by _lock:
        self._rows = {}
        self._last_calls = {}   # weakref to who asked → (when, if brief, id when withdrawn)
        self._answered = 0      # the latest id of a request that was answered
        self._closed = None     # the reason, once it is closed

    def add(self, message, reply_to, call=None):
        """A copy of the request under our id and progress token. Raises Refused once closed."""
        our_id = next(self._ids)
        token = dig(message, "params", "_meta", "progressToken")
        sent = {**message, "id": our_id}
        if is_id(token):
            check_kept(token, "the progress token")
            sent = with_params(sent, _meta={**message["params"]["_meta"], "progressToken": our_id})
        with self._lock:
            if self._closed:
                raise Refused(SERVER_UNAVAILABLE, self._closed)
            self._rows[our_id] = Pending(message["id"], token, reply_to, call)
        return sent

    def answer(self, response):
        """Send a response home. Returns its row; None if nobody waits."""
        if row := self.take(ours(response["id"])):
            row.answer(whole(response))
        return row

    def understood(self, message):
        """(the message, its kind). What is none may be an answer. Raises InvalidMessage."""
        try:
            return message, kind_of(message)
        except InvalidMessage:
            if answer := self.as_answer(message):
                return answer, RESPONSE
            raise

    def as_answer(self, found):
        """What can only be the answer of a request that waits here, as a response; else None.
        Without an id it belongs to the one that waits, if only one does (JSON-RPC 2.0). Log lines
        may have a result, too, but not alone."""
        if not isinstance(found, dict) or "jsonrpc" not in found and not (
                {"result", "error"} & found.keys() and found.keys() <= {"id", "result", "error"}):
            return None
        id, rows = found.get("id"), self.rows()
        our_id = ours(id)
        is_plain = "result" in found or isinstance(dig(found, "error", "code"), int)
        if our_id is None and is_plain and "method" not in found and len(rows) == 1:
            our_id = rows[0][0]
        if our_id not in dict(rows) or "method" in found and not is_plain:
            return None
        return {"jsonrpc": "2.0", "id": our_id, **without_keys(found, "jsonrpc", "id", "method")}

    def progress(self, message):
        """Send a progress notification to the asker of its token, under the asker's token."""
        token = dig(message, "params", "progressToken")
        row = self.find(ours(token)) if is_id(token) else None
        if row is None or row.token is None:
            return False
        row.heard = time.monotonic()
        row.reply_to.send(with_params(message, progressToken=row.token))
        return True

    def find(self, our_id):
        """The row; None if it was withdrawn or answered."""
        return self._rows.get(our_id)

    def take(self, our_id, is_withdrawn=False):
        """The same, and remove it."""
        with self._lock:
            row = self._rows.pop(our_id, None)
            if row and row.call:
                self._answered = max(self._answered, 0 if is_withdrawn else our_id)
                asker = weakref.ref(row.call.asker)
                is_brief = getattr(row.call.asker, "is_brief", False)
                last = self._last_calls.pop(asker, (0, 0, 0))[2]
                mark = next(self._ids) if is_withdrawn else last
                self._last_calls[asker] = time.monotonic(), is_brief, mark
                if len(self._last_calls) > LATE_CALLS:
                    del self._last_calls[next(iter(self._last_calls))]
            return row

    def close(self, reason):
        """Answer every row with an error, at once, and refuse new ones."""
        with self._lock:
            self._closed = reason
            rows, self._rows = self._rows, {}
        for row in rows.values():
            row.answer(error(row.id, SERVER_UNAVAILABLE, reason))

    def rows(self):
        """All of them as they are now: [(our id, row)]."""
        with self._lock:
            return list(self._rows.items())

    def retire(self):
        """Refuse new requests from now on; False, and nothing has changed, if it is for others."""
        with self._lock:
            if retires := not any(row.is_for_others for row in self._rows.values()):
                self._closed = self._closed or "it is put to rest"
            return retires

    def calls(self):
        """The Calls that have a request here."""
        return [row.call for _, row in self.rows() if row.call]

    def askers(self, seconds=0.0):
        """The sessions that have a call here, or had one that many seconds ago or less; all that
        ever had, if none has one here. None stands for those that have ended since. A withdrawn
        call counts until one that was asked later is answered; a brief one not beside the next."""
        moment, here = time.monotonic() - seconds, {call.asker for call in self.calls()}
        forgives = all(asker.is_brief for asker in here)
        with self._lock:
            late = [asker for asker, (ended, is_brief, mark) in self._last_calls.items()
                    if not here or mark > self._answered
                    or ended >= moment and not (is_brief and forgives)]
        return here.union(asker() for asker in late)

    def __len__(self):
        return len(self._rows)


def ours(id):
    """An id or a token as we gave it: some peers make "7", " 7", "7.0" or [7] of 7. Else None."""
    if isinstance(id, (int, float)) and not isinstance(id, bool):
        return id
    found = _NUMBER.fullmatch(str(id)[:40])
    return int(found[1]) if found else id if isinstance(id, str) else None


def whole(response):
    """A response as clients take it: with a result alone, an object, or with an error alone."""
    value, problem = response.get("result"), response.get("error")
    if problem is None and isinstance(value, dict):
        return without_keys(response, "error") if "error" in response else response
    code, text = dig(problem, "code"), dig(problem, "message")
    is_code = is_id(code) and not isinstance(code, str)
    if is_code and isinstance(text, str):
        return without_keys(response, "result") if "result" in response else response
    if not isinstance(text, str) or not text:
        said = encode(value if problem is None else problem)[:200].decode()
        text = f"an answer without a result or an error, but with {said}"
    return error(response["id"], code if is_code else INTERNAL_ERROR, text, dig(problem, "data"))


def _attempt(function, *arguments):
    """Call it. False if a bug of ours is in it, which must not keep an answer from its asker."""
    try:
        function(*arguments)
    except Exception:
        log.exception("something was lost at the end of a call")
        return False
    return True


def cancel_notification(our_id, reason):
    """What tells a peer that the request it has under our id is withdrawn."""
    return notification("notifications/cancelled", {"requestId": our_id, "reason": reason})
