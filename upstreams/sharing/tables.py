"""What the Pool knows: servers, their processes, and the calls that wait. Plain data.

Sessions are told apart by what they can be asked: the *key* of their capabilities, which is PLAIN
for all that can be asked nothing. The Pool holds its lock around every use of these tables, except
that any thread may read `policy`, `owner` and `called`."""

import hashlib
import json
from dataclasses import dataclass, field

from upstreams.server.legacy import AUTO, LEGACY
from upstreams.server.life import RESTING, RUNNING, STARTING

CAN_BE_ASKED = {"sampling", "elicitation", "roots"}
PLAIN = b""
BRIEF = b"brief "   # how the keys of sessions begin that live for one request: they take turns
UP = (RUNNING, STARTING)

# How the calls of a session run at a server:
COMMON = "common"   # all sessions share the process that lists for them
TURNS = "turns"     # a session holds a process while it has a call under way there
OWN = "own"         # a session owns a process from its first call on, until the session ends


def key_of(session):
    """A key that is equal for equal capabilities. It may take long: 11 MB, 0.1 s."""
    if CAN_BE_ASKED.isdisjoint(session.capabilities):
        return PLAIN
    text = json.dumps(session.capabilities, sort_keys=True).encode()
    return (BRIEF if session.is_brief else b"") + hashlib.sha256(text).digest()


class WaitingCall:
    """A call, and what to do with the process that runs it: function(upstream)."""

    def __init__(self, session, call, function, reply_to):
        self.session, self.call, self.function = session, call, function
        self.reply_to = reply_to
        self.presses = True     # whether it has waited for so long that a process may start for it
        self.holds = False      # whether its session holds the process because of it
        self.deadline = None    # while it waits: an event of the clock

    def fail(self, problem):
        """There is no process; `problem` is a Refused."""
        self.reply_to.send(problem.answer(self.call.id))


@dataclass(eq=False)
class Use:
    """Whom one process serves: what the Pool keeps of an Upstream."""

    server: "Server"
    key: bytes = PLAIN
    upstream: object = None
    capabilities: dict = field(default_factory=dict)    # that it is opened with
    state: str = RESTING        # of the Upstream, as the Pool has seen it last
    given_up: bool = False      # likewise: whether it has failed for good
    busy: bool = False          # likewise: whether it answers a client, or is asked for its lists
    awaited: bool = False       # whether it rests when it has answered what it is asked
    asks: int = 0               # requests that wait until it is back from its rest
    subscribed: bool = False    # likewise: whether any session is subscribed to something there
    wanted: int = 0             # its place in the order of starts; 0 if it need not start
    counts: bool = False        # whether it counts among those that start at the same time
    asked: bool = False         # whether this life of it has asked anything
    ready: bool = False         # whether it may have its first call: that has been answered
    called: bool = False        # whether this life of it had a call
    recent: bool = False        # the same, since somebody looked: calls take the short way then
    visited: bool = False       # whether it had one of a session that lists from none
    tired: bool = False         # whether it rests, or ends, if nobody needs it now
    session: object = None      # the session that it was made for
    owner: object = None        # the session that it works for, to its end
    holder: object = None       # the session that has calls under way here, in turns
    holds: int = 0              # how many
    used: int = 0               # when it was let go of last: a number that only grows
    last_user: str = None       # the id of the session that held it last
    late: set = field(default_factory=set)      # our ids that were withdrawn while it was held
    idle: object = None         # when it ends because nobody uses it: an event of the clock
    spoilt: bool = False        # whether one of these was not answered in time
    listeners: dict = field(default_factory=dict)   # {session: None} that list from it

    def begin(self):
        """A life of it begins, of which nothing is known yet."""
        self.wanted, self.counts = 0, True
        self.called = self.visited = self.recent = self.asked = self.ready = False
        self.tired = self.spoilt = False

    @property
    def can_ask(self):
        return self.key != PLAIN

    def is_lister(self):
        """Whether it is there for lists, and for sessions that share everything."""
        return self.server.listers.get(self.key) is self

    def is_free(self):
        """Whether no session has it."""
        return self.owner is None and self.holder is None and not self.spoilt

    def is_left(self):
        """Whether it was for sessions of one request, and none of them is there now."""
        return (self.key.startswith(BRIEF) and self.owner is None and self in self.server.uses
                and self.key not in self.server.sessions.values())

    def is_needed(self):
        """Whether anybody has it, uses it or waits for it; a sole client has every process."""
        return bool(self.busy or self.subscribed or self.wanted or self.recent or self.holder
                    or self.late or self.owner and self.server.share or self.awaits())

    def awaits(self):
        """Whether a call waits that could run here."""
        return any(queue and (key == self.key or self.server.policy(key) in (COMMON, None))
                   for key, queue in self.server.waiting.items())

    def has_task(self):
        return any(session.tasks.any_at(self.upstream) for session in self.server.sessions)

    def may_go(self):
        """Whether it is up, and nothing is lost if it makes way for another."""
        return self.state == RUNNING and self.is_free() and not (
            self.busy or self.subscribed or self.late or self.wanted or self.awaits()
            or self.called and not (self.server.entry.shared or self.tired) or self.has_task())

    def yields_to(self, session):
        """Whether it is up only to list, and for nobody but this session."""
        return (self.state in UP and self.is_lister() and self.is_free() and not self.visited
                and self.listeners.keys() <= {session})


def refresh(uses):
    """See how the Upstreams of these are now."""
    for use in uses:
        upstream, life = use.upstream, use.upstream.life
        use.state, use.given_up = life.state, upstream.restarts.given_up
        if use.state == RUNNING or use.state == STARTING and not life.over:
            use.wanted = 0      # it was wanted once more just before it began
        use.busy = bool(use.asks or use.state == RUNNING and not life.settled
                        or any(row.is_for_others for _, row in life.pending.rows()))
        use.subscribed = bool(upstream.audience.uris())


@dataclass(eq=False)
class Server:
    """One Entry of the config, and its processes."""

    entry: object
    share: bool = True          # False if there is only one client, which owns every process
    has_eras: bool = True       # False if every server is legacy
    era: str = None             # that it was found to be of last; None: not known yet
    asks_again: bool = False    # whether its next life is asked for its era although that is known
    has_run: bool = False       # whether it was ever up
    plain_names: object = None  # what it listed at its start to a client that cannot be asked
    lists_by_capabilities: bool = False
    uses: list = field(default_factory=list)        # without those that were told to end
    ending: list = field(default_factory=list)      # lives that were told to end, and may not have
    listers: dict = field(default_factory=dict)     # key → Use that nobody owns
    sessions: dict = field(default_factory=dict)    # {session: its key} that see it
    waiting: dict = field(default_factory=dict)     # key → {session: [WaitingCall]}, in order

    def policy(self, key):
        """How the calls of sessions with this key run; None if the era must be known first."""
        if self.entry.shared is False or not self.share:
            return OWN
        if key == PLAIN:
            return COMMON
        era = (self.era or self.entry.protocol) if self.has_eras else LEGACY
        if era != LEGACY:   # a modern server keeps nothing of a client
            return None if era == AUTO else COMMON
        return TURNS if self.entry.shared or key.startswith(BRIEF) else OWN

    def protocol(self):
        """What its next life begins with: AUTO, or an era."""
        if not self.has_eras:
            return LEGACY
        known = self.entry.protocol == AUTO and not self.asks_again and self.era
        return known or self.entry.protocol

    def of(self, session):
        """The process that the session owns, else the one that it holds; None without one."""
        return next((use for use in self.uses if use.owner is session), None) or next(
            (use for use in self.uses if use.holder is session), None)

    def lister(self, session):
        """The process that lists for this session: its own once that was up; with turns, one that
        it could hold; else one that nobody owns. None if that must be made first."""
        key = self.sessions[session]
        for use in self.uses:
            if use.owner is session and (use.upstream.info or not self.share):
                return use
        policy = self.policy(key)
        for use in self.uses if policy is TURNS else ():
            if use.key == key and use.owner is None and use.upstream.state == RUNNING:
                return use
        by_key = self.lists_by_capabilities and policy in (OWN, TURNS)
        return self.listers.get(key if by_key else PLAIN)

    def count(self, session=None):
        """How many processes it has or will have, but for those that yield to the session's."""
        return len(self.ending) + sum(
            bool(use.wanted) or use.state != RESTING and not use.given_up
            and not (session and use.yields_to(session)) for use in self.uses)


@dataclass(eq=False)
class Tables:
    """Everything."""

    limit: int                  # processes beside the first one of each server
    servers: dict = field(default_factory=dict)     # {name: Server}, in the config's order
    gone: list = field(default_factory=list)        # Servers of an earlier config that still end

    def uses(self):
        """Those that were not told to end."""
        return [use for server in self.servers.values() for use in server.uses]

    def beside(self):
        """How many processes there are beside the first one of each server. What ends of a server
        that has changed counts once: the one after it has the same list."""
        servers = {id(each.ending): each for each in [*self.gone, *self.servers.values()]}
        return sum(max(0, server.count() - 1) for server in servers.values())

    def has_room(self, server, session, beside=None):
        """Whether the session may get one more. `beside`: how many there are, if that is known."""
        beside, count = self.beside() if beside is None else beside, server.count(session)
        return not count or beside + count - max(1, server.count()) < self.limit
