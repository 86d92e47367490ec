"""The processes of one server that were opened with the same capabilities, and who may use which.

What a server lists may depend on what its client can be asked. So any process with a session's
capabilities can list for it. Which process runs its calls depends on the policy:

    COMMON   the session can be asked nothing: one process runs the calls of all such sessions.
             Likewise for all sessions of a modern server, since its answers carry its questions
    TURNS    "shared": true: a session holds a process while it has a call under way there
    OWN      a session owns a process from its first call on, until the session ends

A process that has learned something of one session is owned by it, under every policy: it asked
before anybody called, or it asked for roots, or it made a task.
"""

from transports.fabric.messages import error
from upstreams.server.life import CLOSING, FAILED, RUNNING, STARTING

COMMON, TURNS, OWN = "common", "turns", "own"
CAN_BE_ASKED = {"sampling", "elicitation", "roots"}

_BEST_FIRST = {RUNNING: 0, STARTING: 1, FAILED: 2}


class Turn:
    """A call, and what to do with the process that runs it: function(upstream)."""

    def __init__(self, session, call, function, reply_to):
        self.session, self.call, self.function = session, call, function
        self.holds = False      # whether the session holds the process because of this call
        self.over = False       # whether it has failed
        self.deadline = None    # while it waits: an event of the clock
        self.reply_to = reply_to

    def fail(self, problem):
        """There is no process; `problem` is a Refused."""
        self.over = True
        self.reply_to.send(error(self.call.id, problem.code, str(problem), problem.data))


class Use:
    """Whom one process serves: what the Pool keeps of an Upstream, under its lock."""

    def __init__(self, kind):
        self.kind = kind
        self.owner = None               # the one session that it works for, to its end
        self.holder = None              # the session that has calls under way here, in turns
        self.holds = 0                  # how many
        self.used = 0                   # when it was let go of last: a number that only grows
        self.late = {}                  # our ids that were withdrawn while it was held → Call
        self.spoilt = False             # whether one of these was not answered in time
        self.look_planned = False       # whether the clock will look if it is still used
        self.last_user = None           # the id of the session that held it last
        self.started_for = None         # the session that it was started for


class Kind:
    """Protected by the lock of the Pool, as are the fields of an Upstream that it sets."""

    def __init__(self, entry, capabilities, policy):
        self.entry, self.capabilities, self.policy = entry, capabilities, policy
        self.can_ask = not CAN_BE_ASKED.isdisjoint(capabilities)
        self.upstreams = []     # its processes, without those that were told to end
        self.sessions = {}      # {session: None} that see the server so, in the order they came
        self.turns = []         # the Turns that wait for a process, in order

    def of(self, session):
        """The process that the session owns, or None."""
        return next((upstream for upstream in self.upstreams
                     if upstream.use.owner is session), None)

    def lister(self, session):
        """The process that lists for the session: its own, else any. None if there is none."""
        return self.of(session) or min(self._usable(), default=None, key=lambda upstream: (
            _BEST_FIRST[upstream.state], upstream.use.owner is not None))

    def runner(self, turn):
        """The process that runs this call from now on. None if it has to wait or needs a new one.

        Of several it is the one that the session holds, else one that is up, else the one that
        it used last, else the one that was used last by anybody. One that is spoilt is only for
        the session that holds it already. One that has failed is only the session's if it owns
        it, or if it never ran: then another would fail as well.
        """
        session = turn.session
        upstream = self.of(session)
        if upstream is None:
            states = (RUNNING,) if self.policy is TURNS else (RUNNING, STARTING)
            free = [upstream for upstream in self._usable() if upstream.state in states
                    and upstream.use.owner is None and (
                        upstream.use.holder is session
                        or upstream.use.holder is None and not upstream.use.spoilt)]
            upstream = min(free, default=None, key=lambda upstream: (
                upstream.use.holder is not session, _BEST_FIRST[upstream.state],
                upstream.use.last_user != session.id, -upstream.use.used))
            if upstream:
                self.give(upstream, turn)
        return upstream or next((upstream for upstream in self.upstreams
                                 if upstream.restarts.given_up and not upstream.info), None)

    def needs_more(self):
        """Whether calls of more sessions wait than processes are about to start for them."""
        sessions = {turn.session for turn in self.turns}
        return len(sessions) > sum(upstream.state == STARTING and upstream.use.owner is None
                                   for upstream in self.upstreams)

    def is_last(self, upstream):
        """Whether there is no other process that can serve the sessions."""
        return all(other is upstream for other in self._usable())

    def give(self, upstream, turn):
        """The session owns this process from now on, or holds it for this call."""
        if self.policy is TURNS:
            upstream.use.holder, upstream.use.last_user = turn.session, turn.session.id
            upstream.use.holds += 1
            turn.holds = True
        else:
            upstream.use.owner = turn.session

    def _usable(self):
        """Those that are there for any session, or may be again."""
        return [upstream for upstream in self.upstreams
                if upstream.state != CLOSING and not upstream.restarts.stopped
                and not (upstream.restarts.given_up and upstream.info)]
