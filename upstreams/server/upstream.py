"""Our client half of one server: who it is, what it offers, who hears it, and what we ask it.

Nothing here waits. A request goes to the connection's outbox. Its answer comes in the connection's
reader thread (life.py) and goes to the peer that the table of pending requests names."""

import copy
import itertools
import math
import threading
import time

from transports.fabric.gather import GrowingPause
from transports.fabric.messages import SERVER_UNAVAILABLE, Refused

from .audience import Audience
from .catalog import Catalog
from .life import CLOSED, CLOSING, RESTING, RUNNING, STARTING, Life

LONGEST_PAUSE = 60.0    # seconds before a server is started again
SOON = 10.0             # seconds after such a restart at once, in which the next one has a pause
LOOK_AGAIN = 0.5        # seconds, while the process of its last life has not ended yet


class Upstream:
    """One server process or remote server, over all its lives.

    `connect()` makes a connection (transports/fabric/peers.py) for each life. `use` says whom it
    serves, and the capabilities that we have for this server; only the Pool writes it.
    `client_info` is who we are. `open_life(life, protocol)` opens a life in place of Legacy."""

    def __init__(self, use, label, connect, clock, client_info, pool, open_life=None):
        self.use, self.label = use, label       # the label is in thread names and log lines
        self.entry, self.name = use.server.entry, use.server.entry.name
        self.clock, self.pool, self.open_life = clock, pool, open_life
        self.client = {"capabilities": use.capabilities, "clientInfo": client_info}
        self.catalog = Catalog(self.entry)
        self.audience = Audience(self)
        self.restarts = Restarts(self)
        self.problem = None             # why it is not running, in a sentence
        self.info = {}                  # its last answer to initialize, or what takes its place
        self.unlisted = {}              # method of a list → why we could not learn it at the start
        self.cost = {}                  # what its last start took: {"startSeconds": 0.2}
        self.asked_for_roots = False
        self.ids = itertools.count(1)   # one counter for all lives: a late id meets no new request
        self.connect = connect
        self.lock = threading.RLock()   # protects `life` and its state
        self.life = Life(self)

    @property
    def state(self):
        return self.life.state

    def is_settling(self):
        """Whether it starts or will, or is up and its lists are being learned, not remembered."""
        life = self.life
        if self.info and self.is_resting():
            return False
        return (life.state == STARTING or life.state == RUNNING and not life.settled
                or bool(self.use.wanted))

    @property
    def offered(self):
        """The capabilities that it had when it was up last."""
        return self.info.get("capabilities", {})

    @property
    def capabilities(self):
        """The same, but {} while it neither runs nor rests or comes back from there."""
        return self.offered if self.life.state == RUNNING or self.is_resting() else {}

    def is_resting(self):
        """Whether what it has listed stays while it is away, or comes back."""
        life = self.life
        return life.state == RESTING or life.state == STARTING and life.known is not None

    # -- called by any thread

    def start(self):
        """Begin its first life, or another one after one that has ended."""
        life = before = self.life
        if before.started is not None:
            life = Life(self)
            with self.lock:
                if before.state == STARTING:    # nobody was told how that went
                    life.settled_gate, life.known = before.settled_gate, before.known
                if before.state != CLOSING:
                    self.life, before.over = life, True
        elif self.info:
            life.known = self.offered, self.catalog.lists   # from before it was put to rest
        if self.life is life:
            life.start(before.next_protocol or self.use.server.protocol())

    def request(self, message, reply_to, call=None):
        """Pass a request on; reply_to.send(response) gets the answer, under the asker's id. When
        `call` ends, the Call on whose behalf we ask, the server is told. Raises Refused."""
        life = self.life
        if life.state == RUNNING:
            try:
                life.era.ask(message, reply_to, call)
            except Refused:
                if not self.has_put_to_rest(life):
                    raise
                self.request(message, reply_to, call)
        elif self.is_resting():
            self.pool.at_rest(self, message, reply_to, call)
        elif life.state == STARTING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is still starting')
        else:
            life.era.ask(message, reply_to, call)   # which says why it is not running

    def send(self, message):
        """Send a notification as it is, if the server is there to hear it."""
        if self.life.state == RUNNING:
            self.life.send(message)

    def when_settled(self, function):
        """Call function() once it has started or failed to: now, if it has already or rests."""
        if self.life.state == RESTING and self.info and not self.use.wanted:
            function()
        else:
            self.life.settled_gate.do(function)

    def rest(self):
        """End its process, but keep what it has listed. Returns the life that ends; None if
        somebody waits for an answer of it. A request that comes now is one for what rests."""
        life = Life(self)
        life.since = time.time()
        with self.lock:
            before = self.life
            if not before.pending.retire():
                return None
            self.life = life
            before.advance(CLOSED)
        before.closed(at_once=False)
        return before

    def has_put_to_rest(self, life):
        """Whether this life has refused a request because of `rest`: ask its successor."""
        with self.lock:     # so that there is one
            return life is not self.life and life.state == CLOSING

    def remember(self, other):
        """Know what this other process of the server has listed."""
        self.info, self.catalog, self.cost = other.info, copy.copy(other.catalog), other.cost

    def close(self, problem=None):
        """Begin to end it. What it was asked may still be answered until it has ended, but if
        there is a problem, all that waits for it fails at once and gets to know why."""
        self.problem = problem or self.problem
        with self.lock:
            life = self.life
            life.advance(CLOSED)
        life.closed(at_once=problem is not None)

    def sole_call(self, session=None):
        """The one call of this session that is under way here; None if there are more or none.
        Without a session: of the one that has this process, or of any if none has it."""
        session = session or self.use.owner or self.use.holder
        calls = [call for call in self.life.pending.calls()
                 if session in (None, call.asker.lasting)]
        return calls[0] if len(calls) == 1 else None

    def last_lines(self):
        """The last lines of its stderr, oldest first."""
        connection = self.life.connection
        return connection.last_lines() if connection else []


class Restarts:
    """When a server that has ended is started again: after a pause that doubles with each failure
    in a row, until a life was long enough to count as healthy. After too many failures it is left
    alone, as is one that could not even be started the first time: mostly its config is wrong.

    Between two failures is a restart: the threads that come here take turns, without a lock."""

    def __init__(self, upstream):
        self.count = 0          # how often it was started again
        self.given_up = False   # whether it will not be started again
        self.stopped = False    # the same, but only because no session used it; set by the Pool
        self.spared = False     # whether a life begins in another way than the one before it did
        self.failures = 0       # in a row
        self._since = -math.inf     # by time.monotonic(): when it was given up
        self._pause = GrowingPause(upstream.entry.restart_pause, LONGEST_PAUSE)
        self._last_at_once = -math.inf  # by time.monotonic(): when a session was forgotten
        self._upstream = upstream

    def plan(self, life, hopeless, least_pause):
        """This life has failed. Let the clock begin the next one, unless it would be one too many
        or is `hopeless`, or no session would use it. A `least_pause` of 0: a remote server wants a
        session or a login anew, which is no failure. Returns what follows, in words."""
        upstream, now = self._upstream, time.monotonic()
        if least_pause == 0 and now - self._last_at_once > SOON:
            self._last_at_once = now
            self.begin(life, failed=False)
            return "it is started again as soon as it lets us in"
        if life.running_since and now - life.running_since >= upstream.entry.healthy:
            self.begin_anew()
        self.failures += 1
        if not hopeless and self.failures <= upstream.entry.restart_attempts:
            # Whoever comes while the connection waits for a login would wait for it, too.
            if least_pause != 0 and upstream.pool.stops(upstream):
                return self.outlook or "a client uses it again"     # since just now
            pause = max(self._pause.next(), least_pause or 0)
            self.begin(life, pause, failed=least_pause != 0)
            return f"it is started again in {pause:g} s" + " at the earliest" * (least_pause == 0)
        self.given_up, self._since = True, now
        upstream.audience.lists_changed()  # what it had in an earlier life is gone for good
        return (f"it failed {self.failures} times in a row: " if self.count else "") + self.outlook

    @property
    def outlook(self):
        """What starts it again, in words; None if it runs, or time does."""
        if self.given_up:
            who = "a client comes or " * bool(
                self._upstream.info and self._upstream.entry.restart_attempts)
            return f"it is left alone until {who}its config changes"
        return "it is started again when a client uses it" if self.stopped else None

    def are_over(self, is_brief):
        """Whether what was given up is tried for a session that comes: brief ones come often."""
        return self.given_up and (not is_brief or time.monotonic() - self._since > LONGEST_PAUSE)

    def begin_anew(self, counts=False):
        """A session uses it after all, or a life was healthy: failures before may not count."""
        self.stopped = self.given_up = False
        if not counts:
            self.failures = 0
            self._pause.reset()

    def begin(self, life, seconds=0, failed=True):
        """Let the clock begin the life after this one after so many seconds."""
        self._upstream.clock.after(seconds, self._restart, life, failed)

    def _restart(self, life, failed):
        upstream = self._upstream
        if upstream.life is not life or failed and upstream.pool.stops(upstream):
            return  # something else has begun it, or nobody uses it
        if life.connection and not life.connection.join(0):
            self.begin(life, LOOK_AGAIN, failed)  # never two lives at once: they may share files
            return
        self.count += failed
        upstream.pool.start_again(upstream)
