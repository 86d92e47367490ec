"""Our client half of one server: who it is, what it offers, who hears it, and what we ask it.

Nothing here waits. A request goes to the connection's outbox. Its answer comes in the connection's
reader thread (life.py) and goes to the peer that the table of pending requests names.
"""

import copy
import itertools
import threading

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused

from .audience import Audience
from .catalog import Catalog
from .legacy import Opening
from .life import CLOSED, CLOSING, RESTING, RUNNING, STARTING, Life
from .restarts import Restarts


class Upstream:
    """One server process or remote server, over all its lives.

    `connect()` makes a connection (transports/fabric/peers.py), one for each life; its `close`
    and `join` do nothing until it is started. `use` says whom it serves: only the Pool writes it.
    `use.capabilities` are those that we have for this server, `client_info` is who we are.
    `open_life(life, protocol)` makes the Opening of a life, in place of legacy.py's.
    """

    def __init__(self, use, label, connect, clock, client_info, pool, open_life=None):
        self.use, self.label = use, label       # the label is in thread names and log lines
        self.entry, self.name = use.server.entry, use.server.entry.name
        self.clock, self.pool = clock, pool
        self.client = {"capabilities": use.capabilities, "clientInfo": client_info}
        self.open_life = open_life or Opening
        self.catalog = Catalog(self.entry)
        self.audience = Audience(self)
        self.restarts = Restarts(self)
        self.problem = None             # why it is not running, in a sentence
        self.info = {}                  # its answer to initialize, or what takes its place
        self.offered = {}               # its capabilities in there, when it was up last
        self.unlisted = {}              # method of a list → why we could not learn it at the start
        self.asked_for_roots = False
        self.put_away = None            # what it had listed when its process was put to rest
        self.lock = threading.Lock()    # protects `life` and its state
        self._connect = connect
        self._ids = itertools.count(1)  # one counter for all lives: a late id meets no new request
        self.life = self._new_life()

    def _new_life(self):
        return Life(self, lambda: self._connect(), self._ids)

    @property
    def state(self):
        return self.life.state

    def is_settling(self):
        """Whether it starts or is about to, or is up and its lists are being learned."""
        life = self.life
        return (life.state == STARTING or life.state == RUNNING and not life.settled
                or bool(self.use.wanted))

    def is_running(self):
        return self.life.state == RUNNING

    @property
    def capabilities(self):
        """What the server said it can do; {} while it neither runs nor rests."""
        return self.offered if self.life.state in (RUNNING, RESTING) else {}

    # -- called by any thread

    def start(self):
        """Begin its first life, or another one after one that has ended; `when_settled` tells how
        that went."""
        life = before = self.life
        if before.started is not None:
            life = self._new_life()
            with self.lock:
                if before.state == STARTING:    # nobody was told how that went
                    life.settled_gate = before.settled_gate
                if before.state != CLOSING:
                    self.life, before.over = life, True
        if self.life is life:
            life.start(before.next_protocol or self.pool.protocol_of(self.entry))

    def request(self, message, reply_to, call=None):
        """Pass a request on; reply_to.send(response) gets the answer, under the asker's id.

        `call` is the Call on whose behalf we ask: when it ends, the server is told. Raises
        Refused when the server is not running.
        """
        life = self.life
        if life.state == RESTING:
            self.pool.at_rest(self, message, reply_to, call)
            return
        if life.state == STARTING:
            raise Refused(SERVER_UNAVAILABLE, f'server "{self.name}" is still starting')
        life.era.ask(message, reply_to, call)

    def send(self, message):
        """Send a notification as it is, if the server is there to hear it."""
        if self.life.state == RUNNING:
            self.life.send(message)

    def has_opened(self, info):
        """What it says of itself in this life. Tasks that are no object are none."""
        capabilities = info.get("capabilities")
        capabilities = dict(capabilities) if isinstance(capabilities, dict) else {}
        if not isinstance(capabilities.get("tasks"), dict):
            capabilities.pop("tasks", None)
        self.info, self.offered, self.problem = info, capabilities, None

    def when_settled(self, function):
        """Call function() once the server has started or failed to: now, if it has already."""
        self.life.settled_gate.do(function)

    def rest(self):
        """End its process. What it has listed stays, and it may start again. Returns the life
        that ends."""
        with self.lock:
            before, self.life = self.life, self._new_life()
            before.advance(CLOSED)
        self.put_away = self.catalog.everything()
        before.closed(at_once=False)
        return before

    def remember(self, other):
        """Know what this other process of the server has listed."""
        self.info, self.catalog = other.info, copy.copy(other.catalog)

    def close(self, problem=None):
        """Begin to end the server; wait_closed waits for it.

        What it was asked may still be answered until it has ended. If there is a problem, all
        that waits for it fails at once and gets to know why.
        """
        self.problem = problem or self.problem
        with self.lock:
            life = self.life
            life.advance(CLOSED)
        life.closed(at_once=problem is not None)

    def wait_closed(self, seconds):
        """Wait until the process has ended; False if it has not by then."""
        connection = self.life.connection
        return connection is None or connection.join(seconds)

    def sole_call(self, session=None):
        """The one call of this session that is under way here; None if there are more or none.

        Without a session: of the one that has this process, or of any if none has it.
        """
        session = session or self.use.owner or self.use.holder
        calls = [call for call in self.life.pending.calls() if session in (None, call.asker)]
        return calls[0] if len(calls) == 1 else None

    def last_lines(self):
        """The last lines of its stderr, oldest first."""
        return self.life.connection.last_lines() if self.life.connection else []
