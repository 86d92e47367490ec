"""One message on its way to a remote server: its POST, and the answer to it.

A request is answered with JSON, or with a stream of events: whatever the server says on behalf of
it, and then the answer. The stream of a legacy request may break before that, and is resumed by a
GET (2025-11-25, Transports, Resumability and Redelivery)."""

import itertools
import time

from transports.fabric.gather import GrowingPause
from transports.fabric.messages import dig, encode, is_id, request
from transports.fabric.pending import ours
from transports.fabric.text import log

from .connection import HttpFailed
from .event_stream import SHORTEST_RETRY, EventStream
from .problem import Problem, shown

PINGS = "router-ping-"  # how the ids of our own requests begin
PING_SECONDS = 30.0     # for the answer to one
NOTE_SECONDS = 30.0     # for the server to accept a notification or a response
MOST_RESUMPTIONS = 5    # of one stream in a row that bring nothing, and end at once
LASTS = 5.0             # seconds of a connection that did not end at once
RETRY = 1.0             # seconds before one, if the server does not say how many

SHORT = "/list", "initialize", "ping", "server/discover", "subscriptions/listen"
INITIALIZED, CANCELLED = "notifications/initialized", "notifications/cancelled"
JSON, EVENTS = "application/json", "text/event-stream"
_POST = [("Content-Type", JSON), ("Accept", f"{JSON}, {EVENTS}")]


def id_among(waiting, message):
    """Which of these ids a message answers; None for none. Some servers turn the number 7 into
    "7". An error whose id is null is for the one request, if only one waits."""
    id = dig(message, "id")
    if dig(message, "jsonrpc") != "2.0" or "method" in message:
        return None
    if id is None and "error" in message:
        ids = list(waiting)     # at once: other threads change it
        return ids[0] if len(ids) == 1 else None
    return next((one for one in (id, ours(id), str(id)) if is_id(id) and one in waiting), None)


class MessagePost:
    """A message for the server of this Remote; sent by `send_request` or `send_note`."""

    def __init__(self, message, remote):
        self.method = message.get("method")
        self.id = message.get("id") if self.method else None    # None: it is no request
        self.is_call = self.id is not None and not self.method.endswith(SHORT)
        cancelled = dig(message, "params", "requestId") if self.method == CANCELLED else None
        self.cancels = cancelled if is_id(cancelled) else None
        self._said = remote.message_headers.modern(message)
        self.is_modern = self._said is not None
        self.begins = dig(message, "params", "cursor") is None  # whether it asks for a first page
        self.body = encode(message)
        self.over = False       # whether it has its answer, or nobody waits for that
        self.headers = {}       # of the first response to it
        self.wire = None        # while it is on its way
        self._remote = remote

    def give_up(self):
        """Nobody waits for it any more. Any thread."""
        self.over = True
        if wire := self.wire:
            wire.abort(self.send_request)

    def _ask(self):
        remote = self._remote
        said = self._said if self.is_modern else remote.message_headers.legacy()
        # With HTTP+SSE it does not matter what it says: the answer is on the stream.
        kinds = () if self.id is None or remote.stream.is_old else (JSON, EVENTS)
        self.wire.ask("POST", remote.post_target, [*_POST, *said], self.body, kinds,
                      remote.stream.is_old and remote.opened)

    # -- NAME-post-N

    def send_request(self, wire):
        """Pass on its answer, and all that comes before."""
        remote = self._remote
        remote.ready.wait()
        if self.is_call:
            remote.stream.answered.wait()
        self.wire = wire    # before `over` is looked at: `give_up` sets that first
        try:
            if not self.over and not remote.closing.is_set():
                self._converse()
        except HttpFailed as problem:
            remote.failed(problem, self)
        except Exception:  # a bug of ours in one message must not end all that follow
            log.exception("%s: one request was lost", remote.label)
            remote.fail(self, "could not be asked: a bug in the router, whose log says more")
        finally:
            remote.release(self)

    def _converse(self):
        try:
            self._ask()
        except Problem as problem:
            if self.method != "initialize":
                raise
            self._remote.refused_with = problem.status
            if not self._remote.stream.becomes_old(problem):
                raise
            self._ask()
        self.headers = self.wire.headers
        self._remote.release(self)
        if self._remote.stream.is_old:
            self.wire.finish()
        elif self.wire.kind() == EVENTS:
            self._read_stream()
        else:
            data = self.wire.read(self._remote.longest)
            self._remote.take_in(data, self, len(data) <= self._remote.longest)
            if not self.over:
                raise HttpFailed(f"answered HTTP {self.wire.status} with something else than the "
                                 f"answer: {shown(data)}")

    def _read_stream(self):
        """The stream of this request, to its end, over as many connections as that takes."""
        remote, in_vain, events = self._remote, 0, EventStream(self._remote.longest)
        pause = GrowingPause(SHORTEST_RETRY, RETRY)
        while True:
            before, began, self._has_news = events.last_id, time.monotonic(), False
            problem = self._read_events(events)
            if self.over or remote.closing.is_set():
                return
            lasted = time.monotonic() - began > LASTS
            in_vain = 0 if lasted or events.last_id != before else in_vain + 1
            if self.is_modern or not events.last_id or in_vain > MOST_RESUMPTIONS:
                raise problem
            if lasted or self._has_news:
                pause.reset()
            remote.closing.wait(RETRY if events.retry is None else max(events.retry, pause.next()))
            try:
                remote.stream.get(self.wire, events.last_id)
            except HttpFailed as again:
                remote.failed(again)
                raise HttpFailed(f"{problem}, and it could not be resumed: {again}") from None

    def _read_events(self, events):
        """What comes on one connection, until it has the answer. Returns the HttpFailed that an
        earlier end would be."""
        try:
            for kind, data, whole in events.events(self.wire.pieces()):
                if kind == b"message" and data != b"":  # which would only tell an id
                    self._has_news = True
                    self._remote.take_in(data, self, whole)
                if self.over:
                    self.wire.finish()
                    break
        except HttpFailed as problem:
            return problem
        return HttpFailed("ended the stream of the request without an answer")

    # -- NAME-notes

    def send_note(self, wire):
        """Send a notification or a response."""
        remote, failed = self._remote, None
        self.wire = wire
        if remote.closing.is_set():
            return
        try:
            with wire.within(NOTE_SECONDS):
                self._ask()
        except HttpFailed as problem:
            failed = problem
            remote.failed(problem)
        remote.note_sent(self)
        if failed and not remote.closing.is_set():
            log.warning("%s: did not take %s: %s", remote.label, self.method or "an answer",
                        remote.redact(str(failed)))
        elif not failed and wire.kind() != EVENTS:
            wire.finish()


class Doubt:
    """Whether the server has forgotten our session: a ping of ours finds it out, one at a time."""

    def __init__(self, remote, clock):
        self._remote, self._clock, self._ids, self._id = remote, clock, itertools.count(1), None

    def asked(self, id):
        """Whether this is the id of such a ping."""
        return str(id).startswith(PINGS)

    def find_out(self):
        remote = self._remote
        if remote.closing.is_set() or self._id in remote.posts \
                or not (remote.message_headers.session or remote.stream.is_old):
            return
        self._id = f"{PINGS}{next(self._ids)}"
        remote.send({**request("ping"), "id": self._id})
        self._clock.after(PING_SECONDS, remote.give_up, self._id)
