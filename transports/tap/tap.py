"""The tap keeps the last messages that passed, for people who debug the router or learn from it.

It is the Observer of transports/fabric/peers.py, which tells at which places a message passes.
What it keeps is text, not the messages, and the secrets of the config are not in it."""

import collections
import itertools
import threading
import time

from transports.fabric.messages import dig, encode, is_id
from transports.fabric.peers import passing
from transports.fabric.text import hidden, outline, redacted

from .links import (FROM_CLIENT, FROM_SERVER, LONGEST_ID, TO_CLIENT, TO_SERVER, Link, Links,
                    call_key, key, question_key)
from .rates import Rates, has_failed

LONGEST_TEXT = 2**14        # characters of one message; what is longer is cut
KEPT_MESSAGES = 10_000
KEPT_BYTES = 8 * 2**20      # of their texts
WHOLE_BYTES = 8 * 2**20     # of messages that were cut, and can be asked for
FIRST_MESSAGES = 5000       # for a reader that begins
MOST_A_SECOND = 500         # messages that are kept, if no reader wants all of them
MOST_CLIENTS = 2000         # of which the names are known; modern ones have one for each request
MOST_VISITORS = 100         # modern clients
LINGER = 60.0               # seconds for which messages are still kept after the last reader
PAGE = "live page"          # what the live page calls itself as a client
TRIED = ("tools/call", "prompts/get", "resources/read")     # what a person calls with it
COLLECT = 0.1               # seconds, so that many messages wake a reader only once


class Record:
    """One message that has passed. `n` numbers all of them, also those that were not kept."""

    __slots__ = ("n", "size", "_fields", "_line")

    def __init__(self, n, fields):
        self.n, self._fields, self._line = n, fields, None
        self.size = sum(len(str(fields[key])) for key in ("text", "id", "method", "name"))

    def line(self):
        """Its JSON as bytes. The readers share it, and the first one makes it."""
        if self._line is None:
            self._line = encode({"n": self.n, **self._fields})
        return self._line


def _brief(value):
    """An id, a method or a name as it is kept and shown."""
    text = redacted(hidden.texts, value, LONGEST_ID) if isinstance(value, str) else value
    return text if is_id(text) else None


class Tap:
    """The last messages. Any thread may call anything here."""

    def __init__(self):
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # protected by _lock:
        self._readers = []
        self._all_wanted = False    # whether a reader wants all messages
        self._pages = False         # whether one does not, and may ask for one that was cut
        self._until = 0.0           # when the last look is too long ago
        self._room, self._filled = 0.0, 0.0     # for so many messages, and since when
        self._since = None          # the time.time() from which on all that passes is seen
        self._asleep = False        # whether a reader waits for the next message
        self._n = 0                 # of the last message
        self._kept = collections.deque()        # Records
        self._bytes = 0             # of their texts
        self._whole = {}            # n → (its bytes, the secrets of then), the oldest first
        self._whole_bytes = 0
        self._links = Links()
        self._rates = Rates()
        self._clients = {}          # session's name → what its client calls itself
        self._visitors = {}         # see `visitors`, the oldest first

    def from_client(self, session, message):
        name = session.lasting.name
        if session.is_brief or not self._clients.get(name):
            self._meet(session, name, message)
        self._take(FROM_CLIENT, name, message, session=name)

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
                   process=upstream.label, session=call.asker.lasting.name if call else None)

    def asked(self, session, our_id, question):
        with self._lock:
            self._links.caused(key(TO_CLIENT, session.name, our_id), question_key(question))

    def _meet(self, session, session_name, message):
        """Remember what the client calls itself. A modern one says it in each request."""
        info = session.client_info or dig(message, "params", "clientInfo")
        name = _brief(dig(info, "name"))
        with self._lock:
            self._clients[session_name] = name
            if len(self._clients) > MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
            if session.is_brief:
                self._visitors.pop(name, None)
                self._visitors[name] = time.monotonic(), session.transport, session.version, info
                if len(self._visitors) > MOST_VISITORS:
                    del self._visitors[next(iter(self._visitors))]

    def _take(self, place, peer, message, cause=None, data=None, session=None, **more):
        """Keep one message, unless too many come."""
        if not self._is_wanted(place, peer, message, cause):
            return
        data = encode(message) if data is None else data
        id, method = _brief(message.get("id")), _brief(message.get("method"))
        name = _brief(dig(message, "params", "name") or dig(message, "params", "uri"))
        fields = {"time": time.time(), "place": place, "session": session, "client": None,
                  "server": None, "process": None, **more,
                  "thread": threading.current_thread().name,
                  "size": len(data), "cut": len(data) > LONGEST_TEXT, "id": id,
                  "text": redacted(hidden.texts, data[:LONGEST_TEXT + 1].decode("ascii"),
                                   LONGEST_TEXT),
                  "kind": ("response" if "method" not in message
                           else "request" if "id" in message else "notification"),
                  "failed": has_failed(message)}
        with self._lock:
            link = self._links.find(place, peer, message, cause,
                                    Link(method=method, session=session, name=name))
            session = session or link.session
            fields.update(call=link.number, session=session, client=self._clients.get(session),
                          method=method or link.method, name=name or link.name)
            self._n += 1
            self._keep(Record(self._n, fields))
            if fields["cut"] and self._pages and len(data) <= WHOLE_BYTES:
                self._keep_whole(data)
            if self._asleep:
                self._asleep = False
                self._changed.notify_all()

    def _keep(self, record):
        self._kept.append(record)
        self._bytes += record.size
        while len(self._kept) > KEPT_MESSAGES or self._bytes > KEPT_BYTES:
            self._bytes -= self._kept.popleft().size

    def _keep_whole(self, data):
        """Of what it is later, also the secrets of now are hidden."""
        self._whole[self._n] = data, hidden.texts
        self._whole_bytes += len(data)
        while self._whole_bytes > WHOLE_BYTES:
            self._whole_bytes -= len(self._whole.pop(next(iter(self._whole)))[0])

    def whole(self, n):
        """The text of a message that was cut, or None if it is not kept."""
        with self._lock:
            data, secrets = self._whole.get(n, (None, ()))
        if data is None:
            return None
        return redacted(hidden.texts, redacted(secrets, data.decode("ascii")))

    def since(self):
        """The time.time() before which nothing was looked at; a reader is open."""
        return self._since

    def seconds(self):
        """Of the last minute: see rates.py."""
        now = time.monotonic()
        with self._lock:
            return self._rates.until(now)

    def visitors(self):
        """The modern clients, which have no sessions: {name: (seconds silent, transport, revision,
        what it says of itself)}."""
        now = time.monotonic()
        with self._lock:
            return {name: (now - last, transport, version, outline(info))
                    for name, (last, transport, version, info) in self._visitors.items()}

    def _is_wanted(self, place, peer, message, cause):
        """Whether one more message is kept now. One that is not is counted for the readers. If
        too many come, whole calls are left out: the answer to what was kept is kept."""
        now = time.monotonic()
        with self._lock:
            if not self._readers and now > self._until:
                self._forget()
                return False
            if place == FROM_CLIENT and "id" in message and self._is_call(peer, message):
                self._rates.note_request(peer, message["id"], now)
            elif place == TO_CLIENT and "method" not in message:
                self._rates.note_answer(peer, message.get("id"), now)
            # So many are kept at once, and of more some all along: also near the end of a burst.
            self._room += (now - self._filled) * MOST_A_SECOND
            self._room, self._filled = min(self._room, MOST_A_SECOND), now
            # What follows on something that was left out is left out, too, though there is room.
            begins = cause is None and "method" in message
            if self._room < (1 if begins else MOST_A_SECOND / 2) and not self._all_wanted \
                    and not self._links.knows(place, peer, message, cause):
                self._n += 1
                return False
            self._room = max(self._room - 1, -MOST_A_SECOND / 10)
            return True

    def _is_call(self, session, message):
        """Whether a person takes it for a call: what the page asks of its own accord is none."""
        method = message.get("method")
        return method is not None and method != "ping" and (
            method in TRIED or self._clients.get(session) != PAGE)

    def _forget(self):
        passing.watched, self._bytes, self._whole_bytes, self._since = False, 0, 0, None
        for each in (self._kept, self._whole, self._links, self._rates, self._clients,
                     self._visitors):
            each.clear()

    def open(self, wants_all=False):
        """A new Reader, which begins with the last messages. It must be closed."""
        now = time.time()
        with self._lock:
            first = self._kept[-min(FIRST_MESSAGES, len(self._kept))].n if self._kept else None
            reader = Reader(self, self._n if first is None else first - 1, wants_all)
            self._readers.append(reader)
            passing.observer, passing.watched = self, True
            self._since = self._since or now
            self._readers_changed()
        return reader

    def _readers_changed(self):
        """Readers have come or gone."""
        self._all_wanted = any(reader.wants_all for reader in self._readers)
        self._pages = not all(reader.wants_all for reader in self._readers)


class Reader:
    """One look at the tap, by one thread."""

    def __init__(self, tap, after, wants_all):
        self._tap, self.after, self.wants_all = tap, after, wants_all
        self._closed = False    # `after`: the number of the last message that was read or missed

    def read(self, seconds):
        """([Records], how many messages were missed before or between them), both empty if none
        come in time. None once it is closed and all is read."""
        tap = self._tap
        with tap._lock:
            tap._asleep = True
            tap._changed.wait_for(lambda: tap._n > self.after or self._closed, seconds)
            if tap._n > self.after:
                tap._changed.wait_for(lambda: self._closed, COLLECT)
            found = list(itertools.takewhile(lambda record: record.n > self.after,
                                             reversed(tap._kept)))[::-1]
            missed = tap._n - self.after - len(found)
            self.after = tap._n
        return None if self._closed and not (found or missed) else (found, missed)

    def close(self):
        """Any thread, any number of times."""
        tap = self._tap
        with tap._lock:
            self._closed = True
            tap._readers = [other for other in tap._readers if other is not self]
            tap._readers_changed()
            tap._until = time.monotonic() + LINGER
            tap._changed.notify_all()


tap = Tap()
