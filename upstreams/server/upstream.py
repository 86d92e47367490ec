"""One server, as its only client: us. Its start, its requests, its messages, its end.

Nothing here waits. A request goes to the connection's outbox. What the server says arrives in
`receive`, in the connection's reader thread. An answer goes straight to the peer that the table
of pending requests names; everything else goes through from_server.py.
"""

import copy
import functools
import itertools
import logging
import math
import threading
import time

from transports.fabric.gather import Gather
from transports.fabric.messages import (RESPONSE, SERVER_UNAVAILABLE, InvalidMessage, Refused,
                                        kind_of)
from transports.fabric.passing import passing
from transports.fabric.peers import StartFailed
from transports.fabric.pending import cancel_notification
from transports.fabric.text import printable

from .audience import Audience
from .catalog import LISTS, TASKS, Catalog
from .from_server import FromServer
from .life import CLOSING, FAILED, RESTING, RUNNING, STARTING, Life
from .lists import LIST_SECONDS, Pages
from .opening import Opening
from .restarts import Restarts
from .timeouts import CallTimeouts

log = logging.getLogger("router")


class Upstream:
    """Our client half of one server.

    `connect()` makes a connection (transports/fabric/peers.py), one for each life; its `close`
    and `join` do nothing until it is started. `use.kind` says which capabilities we have
    for this server, `client_info` who we are. `use` says whom it serves; only the Pool writes it.
    """

    def __init__(self, use, label, connect, clock, client_info, pool, open_life=None):
        self.use, self.label = use, label       # the label is in thread names and log lines
        self.entry = entry = use.server.entry
        self.name = entry.name
        self.catalog = Catalog(entry)
        self.audience = Audience(self)
        self.restarts = Restarts(self, clock, pool)
        self.problem = None             # why it is not running, in a sentence
        self.info = {}                  # its answer to initialize, or what takes its place
        self.unlisted = {}              # method of a list → why we could not learn it at the start
        self.asked_for_roots = False
        self._from_server = FromServer(self, pool)
        self._timeouts = CallTimeouts(self, clock)
        self._connect, self._clock, self._pool = connect, clock, pool
        self._client = {"capabilities": use.capabilities, "clientInfo": client_info}
        self._open_life = open_life or Opening
        self._next_protocol = None      # of the next life, if that is known
        self._spared = False            # whether a life of it was begun anew for its first message
        self._ids = itertools.count(1)  # one counter for all lives of the server
        self._lock = threading.Lock()   # protects `life` and its state
        self.life = self._new_life()

    def _new_life(self):
        return Life(self, self._connect(), self._ids)

    @property
    def state(self):
        return self.life.state

    def is_starting(self):
        return self.life.state == STARTING or self.use.wanted

    def is_running(self):
        return self.life.state == RUNNING

    @property
    def calls(self):
        """What the server asked; a Call looks for the table of its asker here."""
        return self.life.calls

    @property
    def capabilities(self):
        """What the server said it can do; {} while it is not running, and does not rest."""
        return self.offered if self.state in (RUNNING, RESTING) else {}

    @property
    def offered(self):
        """What it could do when it was up last."""
        capabilities = self.info.get("capabilities")
        return capabilities if isinstance(capabilities, dict) else {}

    # -- called by any thread

    def start(self):
        """Start the process and find out its era, or start it again; `when_settled` tells how that
        went."""
        if self.life.started is None:
            self._begin(self.life)
        else:
            self._start_again()

    def request(self, message, reply_to, call=None):
        """Pass a request on; reply_to.send(response) gets the answer, under the asker's id.

        `call` is the Call on whose behalf we ask: when it ends, the server is told. Raises
        Refused when the server is not running.
        """
        life = self.life
        if life.state == RESTING:
            self._pool.at_rest(self, message, reply_to, call)
            return
        if life.state == STARTING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is still starting')
        life.era.ask(message, reply_to, call)

    def pass_on(self, life, message, reply_to, call=None):
        """Send a request in this life as it is. Raises Refused once that has ended."""
        sent = life.pending.add(message, reply_to, call)
        life.send(sent, call)
        if call:
            call.passed_on(self, sent["id"])
            if self.entry.timeout:
                self._timeouts.watch()

    def send(self, message):
        """Send a response or a notification as it is."""
        self.life.send(message)

    def withdraw(self, our_id, reason):
        """The request that we sent under our id is not wanted any more."""
        life = self.life
        if life.pending.take(our_id):
            life.send(cancel_notification(our_id, reason))

    def rest(self):
        """End its process; what it has listed stays, and it may be started again. Returns the
        life that ends."""
        with self._lock:
            before, self.life = self.life, self._new_life()
            before.state = CLOSING
        before.connection.close()
        before.pending.close(f'server "{self.name}" rests')
        return before

    def remember(self, other):
        """Know what this other process of the server has listed."""
        self.info, self.catalog = other.info, copy.copy(other.catalog)

    def when_settled(self, function):
        """Call function() once the server has started or failed to: now, if it has already."""
        self.life.settled_gate.do(function)

    def close(self, problem=None):
        """Begin to end the server; wait_closed waits for it.

        What it was asked may still be answered until it has ended. If there is a problem, all
        that waits for it fails at once and gets to know why.
        """
        with self._lock:
            life = self.life
            life.state = CLOSING
        self.problem = problem or self.problem
        life.connection.close()
        if problem or life.started is None:  # its connection will not tell that it has ended
            self._closed(life, "it was closed")

    def wait_closed(self, seconds):
        """Wait until the process has ended; False if it has not by then."""
        return self.life.connection.join(seconds)

    def ended(self):
        """Whether no process of it is left, and none will be started."""
        final = self.state == CLOSING or self.state == FAILED and (
            self.restarts.given_up or self.restarts.stopped)
        return final and self.wait_closed(0)

    def sole_call(self, session=None):
        """The one call of this session that is under way here; None if there are more or none.

        Without a session: of the one that has this process, or of any if none has it.
        """
        session = session or self.use.owner or self.use.holder
        calls = [call for call in self.life.pending.calls() if session in (None, call.asker)]
        return calls[0] if len(calls) == 1 else None

    def last_lines(self):
        """The last lines of its stderr, oldest first."""
        return self.life.connection.last_lines()

    # -- called by the connection's reader thread

    def receive(self, message):
        """Anything that the server said. Raises InvalidMessage if it is not JSON-RPC."""
        if isinstance(message, list):  # a batch: allowed in 2025-03-26
            for part in message:
                try:
                    self.receive(part)
                except InvalidMessage as problem:
                    log.warning("%s: skipped a part of a batch: %s", self.name, problem)
            return
        kind = kind_of(message)
        if passing.watched:
            passing.observer.from_server(self, message)
        if kind is RESPONSE:
            if not self.life.pending.answer(message):
                log.debug("%s: dropped an answer that nobody waits for", self.name)
                self._pool.answered_late(self, message["id"])
        else:
            self._from_server.route(message)

    # -- the start of a life: called by the thread that starts it, the reader and the clock

    def _start_again(self):
        """Begin a new life in place of the one that has ended."""
        life = self._new_life()
        with self._lock:
            before = self.life
            if before.state == STARTING:  # nobody was told how that went
                life.settled_gate = before.settled_gate
            if before.state != CLOSING:
                self.life = life
        if before.state == CLOSING:
            before.settled_gate.open()
        else:
            self._begin(life)

    def _begin(self, life):
        with self._lock:
            if life.state == CLOSING:
                return
            life.state = STARTING
        protocol = self._next_protocol or self._pool.protocol_of(self.entry)
        self._next_protocol = None
        life.started = time.monotonic()
        life.deadline = self._clock.after(self.entry.start_timeout, self._too_slow, life)
        life.opening = self._open_life(self, life, protocol, self._client, self._clock)
        try:
            life.connection.start(self.receive, functools.partial(self._ended, life))
        except StartFailed as problem:
            # Later the reason may pass: its command is being updated, the system is out of files.
            self._closed(life, str(problem), hopeless=not self._pool.has_run(self.entry))
        else:
            life.opening.start()
        if life.state == CLOSING:  # close() may have come before there was a process to close
            life.connection.close()

    def is_of_era(self, era):
        """Called by the Opening as soon as that is known."""
        self._pool.is_of_era(self, era)

    def opened(self, life, era):
        """It is ready for requests. Called by the Opening, in the reader thread."""
        self._clock.forget(life.deadline)
        life.era, self.info, self.problem = era, era.info, None
        life.running_since = time.monotonic()
        self._pool.is_of_era(self, era.name)
        with self._lock:
            if life.state != STARTING:
                return
            life.state = RUNNING
        self._learn_lists(life)

    def _learn_lists(self, life):
        """Fetch its lists into the catalog and hear of their changes; then, or at the deadline,
        it has settled."""
        methods = [method for method, (capability, _, _) in LISTS.items()
                   if capability in self.capabilities and method != TASKS]
        gather = Gather([*methods, None], functools.partial(self._learned, life), self._clock,
                        LIST_SECONDS)
        gather.start(lambda method, put: Pages(self, method, put).ask() if method
                     else life.era.listen(functools.partial(self._listening, life, put)))

    def _listening(self, life, put, value):
        """From now on we hear of changes; if that comes late, there may have been some."""
        if life.settled:
            self.audience.lists_changed()
        put(value)

    def _learned(self, life, lists, missing):
        self.unlisted = {
            **{method: "answered with an error" for method, items in lists.items()
               if items is None},
            **{method: f"did not answer within {LIST_SECONDS:g} seconds" for method in missing}}
        self._settled(life)

    def _settled(self, life):
        if life.state == RUNNING:  # or it has ended while its lists were fetched
            log.info('server "%s" is running (%.1f s)', self.label, life.seconds_to_start())
            life.settled = True
            self.audience.came_up()
        life.settled_gate.open()
        self._pool.changed()

    # -- the end of a life: called by a thread of the connection, or by the clock

    def _too_slow(self, life):
        era = life.opening.end()
        if era and life.opening.was_heard() and not self._spared:  # our second request silenced it
            self._spared = True
            self.begin_again(life, era)
            return
        last = self.last_lines()[-1:]
        self.give_up(life, f"did not answer within {self.entry.start_timeout:g} seconds"
                     + "".join(f": {line}" for line in last))

    def give_up(self, life, problem):
        """It cannot be used. It may have become one of the other era: the next life asks again."""
        self._pool.forget_era(self.entry)
        self._closed(life, problem)
        life.connection.close()

    def begin_again(self, life, protocol):
        """Its process knows what it must not: another one begins by this protocol."""
        self._next_protocol = protocol
        life.connection.close()

    def _ended(self, life, reason, pause=None):
        """The connection has ended. Once, it may have been our first question that ended it; a
        remote server refuses that with an answer. For `pause` see connections/remote.py."""
        era = life.opening.end()
        if era and not self._spared and not self.entry.url:
            self._spared, self._next_protocol = True, self._next_protocol or era
        if self._next_protocol is None or life.state != STARTING:
            self._closed(life, reason, hopeless=pause == math.inf, pause=pause)
            return
        log.info('server "%s" did not bear how it was asked for its era, and is started again as '
                 'a %s one; "protocol" in its config saves that', self.label, self._next_protocol)
        self._clock.forget(life.deadline)
        life.pending.close(reason)
        self.restarts.at_once()

    def _closed(self, life, reason, hopeless=False, pause=None):
        """The connection has ended, or we give it up. Of several reasons the first one stays."""
        self._clock.forget(life.deadline)
        if life.opening:
            life.opening.end()
        with self._lock:
            failed = life.state in (STARTING, RUNNING)
            if failed:
                life.state = FAILED
        if failed:
            self.problem = printable(self.entry.redact(reason))
            log.error('server "%s" is not running: %s', self.label, self.problem)
        text = f'server "{self.name}" is not running: {self.problem or "it was closed"}'
        life.pending.close(text)
        for question in life.calls.close():
            question.cancel(text)
            if question.within:  # a modern server has answered that call, with this question
                question.within.fail(SERVER_UNAVAILABLE, text)
        life.settled_gate.open()
        if failed:
            self.restarts.plan(life, hopeless, pause)
            self._pool.failed(self)
