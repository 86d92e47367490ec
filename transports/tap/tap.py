"""The tap keeps the last messages that passed, for people who debug the router or learn from it.

It is the Observer of transports/fabric/peers.py, which tells at which places a message passes.
What it keeps is text, not the messages, and the secrets of the config are not in it."""

import collections
import itertools
import threading
import time

from transports.fabric.messages import encode, is_id
from transports.fabric.peers import passing
from transports.fabric.text import hidden, redacted

from .links import (FROM_CLIENT, FROM_SERVER, LONGEST_ID, TO_CLIENT, TO_SERVER, Links, call_key,
                    key, question_key)

LONGEST_TEXT = 2**14        # characters of one message; what is longer is cut
KEPT_MESSAGES = 10_000
KEPT_BYTES = 8 * 2**20      # of their texts
FIRST_MESSAGES = 1000       # of these, for a reader that begins
MOST_A_SECOND = 500         # messages that are kept, if no reader wants all of them
LINGER = 60.0               # seconds for which messages are still kept after the last reader
COLLECT = 0.1               # seconds, so that many messages wake a reader only once


class Record:
    """One message that has passed. `n` numbers all of them, also those that were not kept."""

    __slots__ = ("n", "size", "_fields", "_line")

    def __init__(self, n, fields):
        self.n, self._fields, self._line = n, fields, None
        self.size = sum(len(str(fields[key])) for key in ("text", "id", "method"))

    def line(self):
        """Its JSON as bytes. The readers share it, and the first one makes it."""
        if self._line is None:
            self._line = encode({"n": self.n, **self._fields})
        return self._line


def _brief(value):
    """An id or a method as it is kept and shown."""
    text = redacted(hidden.texts, value, LONGEST_ID) if isinstance(value, str) else value
    return text if is_id(text) else None


class Tap:
    """The last messages. Any thread may call anything here."""

    def __init__(self):
        self._changed = threading.Condition()
        # protected by _changed:
        self._readers = []
        self._all_wanted = False    # whether a reader wants all messages
        self._until = 0.0           # when the last look is too long ago
        self._second, self._taken = 0.0, 0      # when this second began, and its messages
        self._asleep = False        # whether a reader waits for the next message
        self._n = 0                 # of the last message
        self._kept = collections.deque()        # Records
        self._bytes = 0             # of their texts
        self._links = Links()

    def from_client(self, session, message):
        self._take(FROM_CLIENT, session.name, message, session=session.name)

    def to_client(self, name, message, data):
        # A question has its Link already, see `asked`.
        self._take(TO_CLIENT, name, message, key(TO_CLIENT, name, message.get("id")), data,
                   session=name)

    def from_server(self, upstream, message):
        # Of questions and log lines, only this tells to which call they belong.
        method = message.get("method")
        belongs = method and ("id" in message or method == "notifications/message")
        cause = call_key(upstream.sole_call()) if belongs else None
        self._take(FROM_SERVER, upstream.label, message, cause, server=upstream.name,
                   process=upstream.label)

    def to_server(self, upstream, message, call):
        self._take(TO_SERVER, upstream.label, message, call_key(call), server=upstream.name,
                   process=upstream.label, session=call.asker.name if call else None)

    def asked(self, session, our_id, question):
        with self._changed:
            self._links.caused(key(TO_CLIENT, session.name, our_id), question_key(question))

    def _take(self, place, peer, message, cause=None, data=None, session=None, **more):
        """Keep one message, unless too many come."""
        if not self._is_wanted():
            return
        data = encode(message) if data is None else data
        id, method = _brief(message.get("id")), _brief(message.get("method"))
        fields = {"time": time.time(), "place": place, "session": session, "server": None,
                  "process": None, **more, "thread": threading.current_thread().name,
                  "size": len(data), "cut": len(data) > LONGEST_TEXT, "id": id,
                  "text": redacted(hidden.texts, data[:LONGEST_TEXT + 1].decode("ascii"),
                                   LONGEST_TEXT),
                  "kind": ("response" if "method" not in message
                           else "request" if "id" in message else "notification")}
        with self._changed:
            link = self._links.find(place, peer, message, method, cause, session)
            fields.update(call=link.number, session=session or link.session,
                          method=method or link.method)
            self._n += 1
            record = Record(self._n, fields)
            self._kept.append(record)
            self._bytes += record.size
            while len(self._kept) > KEPT_MESSAGES or self._bytes > KEPT_BYTES:
                self._bytes -= self._kept.popleft().size
            if self._asleep:
                self._asleep = False
                self._changed.notify_all()

    def _is_wanted(self):
        """Whether one more message is kept now. One that is not is counted for the readers."""
        now = time.monotonic()
        with self._changed:
            if not self._readers and now > self._until:
                passing.watched, self._bytes = False, 0
                self._kept.clear()
                self._links.clear()
                return False
            if now - self._second >= 1:
                self._second, self._taken = now, 0
            if self._taken >= MOST_A_SECOND and not self._all_wanted:
                self._n += 1
                return False
            self._taken += 1
            return True

    def open(self, wants_all=False):
        """A new Reader, which begins with the last messages. It must be closed."""
        with self._changed:
            first = self._kept[-min(FIRST_MESSAGES, len(self._kept))].n if self._kept else None
            reader = Reader(self, self._n if first is None else first - 1, wants_all)
            self._readers.append(reader)
            passing.observer, passing.watched = self, True
            self._all_wanted = self._all_wanted or wants_all
        return reader


class Reader:
    """One look at the tap, by one thread."""

    def __init__(self, tap, after, wants_all):
        self._tap, self._after, self.wants_all = tap, after, wants_all
        self._closed = False

    def read(self, seconds):
        """([Records], how many messages were missed before or between them), both empty if none
        come in time. None once it is closed and all is read."""
        tap = self._tap
        with tap._changed:
            tap._asleep = True
            tap._changed.wait_for(lambda: tap._n > self._after or self._closed, seconds)
            if tap._n > self._after:
                tap._changed.wait_for(lambda: self._closed, COLLECT)
            found = list(itertools.takewhile(lambda record: record.n > self._after,
                                             reversed(tap._kept)))[::-1]
            missed = tap._n - self._after - len(found)
            self._after = tap._n
        return None if self._closed and not (found or missed) else (found, missed)

    def close(self):
        """Any thread, any number of times."""
        tap = self._tap
        with tap._changed:
            self._closed = True
            tap._readers = [other for other in tap._readers if other is not self]
            tap._all_wanted = any(other.wants_all for other in tap._readers)
            tap._until = time.monotonic() + LINGER
            tap._changed.notify_all()


tap = Tap()
