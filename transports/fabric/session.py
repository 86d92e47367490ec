"""One client's conversation: what it asked, what it was asked, and what has to wait for it. Any
thread may send to it, and only the thread that feeds its stream ever waits for the client."""

import collections
import math
import secrets
import threading
import time

from .messages import REQUEST_CANCELLED, dig, encode
from .outbox import Outbox, too_far_behind
from .peers import passing
from .pending import Calls, PendingRequests, cancel_notification
from .text import log

SILENT_SECONDS = 10.0   # of its client, until a session may have to make room for another
MOST_TASKS = 1000       # of one session
FINAL = "completed", "failed", "cancelled"      # states of a task (2025-11-25, Tasks)


class UsedUp(Exception):
    """No further session or stream may begin now; HTTP answers with 503."""


class Gate:
    """Keeps calls with messages that come too early, in order, until it is opened once."""

    def __init__(self):
        self._lock = threading.Lock()
        # protected by _lock:
        self._kept = collections.deque()    # (function, arguments); None once the gate is open
        self._bytes = 0         # of the messages among these arguments
        self._opening = False

    def do(self, function, *arguments):
        """Call it now if the gate is open, else when it opens. False if too much is kept."""
        with self._lock:
            if self._kept is not None:
                if too_far_behind(len(self._kept), self._bytes):
                    return False
                self._kept.append((function, arguments))
                self._bytes += sum(len(encode(argument)) for argument in arguments
                                   if isinstance(argument, dict))
                return True
        function(*arguments)
        return True

    def open(self):
        """Make the calls that were kept. Calls that come meanwhile queue up behind them."""
        with self._lock:
            if self._opening:
                return  # the first thread to open it goes on until nothing is kept
            self._opening = True
        while True:
            with self._lock:
                if not self._kept:
                    self._kept = None
                    return
                function, arguments = self._kept.popleft()
            try:
                function(*arguments)
            except Exception:  # a bug of ours in one must not stop those behind it
                log.exception("a call that was kept for later failed")


class Tasks:
    """Which servers have which task of a session; two may use the same id. The oldest go first."""

    def __init__(self):
        self._lock = threading.Lock()
        # protected by _lock: {(task id, upstream): until when it is one}, the oldest first
        self._known = {}

    def add(self, task_id, upstream, task=None):
        """`task` is what was said of it."""
        ttl, until = dig(task, "ttl"), math.inf
        if dig(task, "status") in FINAL:
            until = 0
        elif isinstance(ttl, (int, float)):
            until = time.monotonic() + min(ttl, 1e15) / 1000
        with self._lock:
            self._known.pop((task_id, upstream), None)
            self._known[task_id, upstream] = until
            if len(self._known) > MOST_TASKS:
                del self._known[next(iter(self._known))]

    def of(self, task_id):
        """The upstreams that have a task with this id, the newest first."""
        with self._lock:
            return [upstream for id, upstream in reversed(self._known) if id == task_id]

    def ended(self, task_id, upstream):
        """Its result may still be asked for, but the server need not stay for that."""
        with self._lock:
            if (task_id, upstream) in self._known:
                self._known[task_id, upstream] = 0

    def has(self, task_id, upstream):
        return (task_id, upstream) in self._known

    def any_at(self, upstream):
        """Whether it has one that has not ended."""
        now = time.monotonic()
        with self._lock:
            return any(there is upstream and now < until
                       for (_, there), until in self._known.items())


class Session:
    """Written by the threads that carry this client's messages, and read by any thread."""

    meta = None         # what each request of a modern client says of it, in `_meta`
    is_brief = False    # whether it lives for one request
    is_parked = False   # whether its call waits until the client comes back with answers

    def __init__(self, surface, transport, surface_name=None, most_calls=None):
        self.id = secrets.token_urlsafe(24)
        self.name = f"session {self.id[:6]}"    # the whole id is a key: it stays out of the log
        self.surface = surface                  # what it sees: upstreams/routing
        self.transport = transport              # the name of the transport that it came by
        self.surface_name = surface_name        # of a server or a group; None: of all servers
        self.outbox = Outbox(self.name)         # its own stream, for what belongs to no call
        self.calls = Calls(self, most_calls)    # what it asked
        self.pending = PendingRequests()        # what it was asked
        self.version = None                     # negotiated by `initialize`
        self.client_info = None                 # which program the client is, if it said so
        self.capabilities = {}                  # what it said it can be asked
        self.initialized = False                # whether `initialize` is answered
        self.answered_gate = Gate()             # its requests wait here for that answer
        self.ready_gate = Gate()                # what servers say waits for its `initialized`
        self.upstreams = {}                     # name → Upstream, in the config's order
        self.key = b""                          # of its capabilities: see upstreams/sharing
        self.log_level = None                   # what it asked for with logging/setLevel
        self.tasks = Tasks()                    # which Upstream has which of its tasks
        self.listed = set()                     # the methods of the lists that it has asked for

    @property
    def lasting(self):
        """The session that processes are given to for its calls: this, or one that outlasts it."""
        return self

    def client(self):
        """What its client calls itself, and how it has come, for the log."""
        name = " ".join(str(dig(self.client_info, key) or "?")[:40] for key in ("name", "version"))
        return f"{name} over {self.transport}"

    def says_no_more(self):
        """Its client has closed its end, and may only read from now on."""
        self.pending.close("the client has closed its end: it can answer nothing any more")

    def close_streams(self):
        """Let the threads that feed its streams end, and keep nothing that was to be sent."""
        self.outbox.close()
        self.ready_gate.open()

    def seconds_silent(self):
        """Of its client: not known here, nor needed, as this session ends with its stream."""
        return 0.0

    def send(self, message):
        """Send on the session's own stream, as soon as the client is ready for it."""
        self.when_ready(self.outbox.send, message)

    def when_ready(self, send, message):
        """Call send(message) once the client has said that it is initialized."""
        if not self.ready_gate.do(send, message):
            self.ready_gate.open()
            send(message)

    def ask(self, message, call):
        """Pass on a server's question; `call` is the server's. Raises Refused if it has left."""
        sent = self.pending.add(message, reply_to=call, call=call)
        if passing.watched:
            passing.observer.asked(self, sent["id"], call)
        self.when_ready(self._stream_of(call).send, sent)
        call.passed_on(self, sent["id"])

    def withdraw(self, our_id, reason):
        """The question that we asked this client under our id is not wanted any more."""
        if row := self.pending.take(our_id):
            self.when_ready(self._stream_of(row.call).send, cancel_notification(our_id, reason))

    def cancel_call(self, id, reason):
        """The client takes its request back, and with it the questions that belonged to it."""
        if not (call := self.calls.cancel(id, reason)):
            return
        if call.reply_to is not self.outbox:
            call.reply_to.expect_one_less()  # else its stream would wait for the answer for ever
        for question in self.pending.calls():
            if question.within is call:
                question.fail(REQUEST_CANCELLED, f"the call that this belongs to: {reason}")
                question.withdraw(reason)

    def _stream_of(self, question):
        """The stream of the call that the question belongs to, if it is open; else our own."""
        call = question.within
        if call and not call.ended and call.reply_to is not self.outbox \
                and not call.reply_to.is_complete():
            return call.reply_to
        return self.outbox
