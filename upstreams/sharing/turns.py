"""The way of a call to a process: now, when that is up, or when it is the call's turn.

No thread waits for any of that: what a call waits for calls it when it is there. See kinds.py for
the rules.
"""

import functools
import logging

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused
from upstreams.server.life import STARTING

from .kinds import COMMON, TURNS, Turn

log = logging.getLogger("router")

CALL_PATIENCE = 30.0    # seconds that a call waits for a process
IDLE_SECONDS = 60.0     # after which a process that nobody holds ends, except the last of its kind
LATE_SECONDS = 2.0      # in which a server must answer a call that was withdrawn from it


class Turns:
    """The calls of all sessions, on their way to a process. Uses the Pool's tables and lock."""

    def __init__(self, pool, processes, clock):
        self._pool, self._processes, self._clock = pool, processes, clock
        self._lock = pool.lock

    def run(self, session, name, call, function, reply_to):
        """Call function(upstream) with the process that runs this call.

        At once, in this thread, if there is one that is up; then it may raise Refused. Else in
        the thread that makes it so; then an error goes to `reply_to`, as it does if there is no
        process in time.
        """
        upstream = session.upstreams.get(name)
        if upstream is None:
            raise Refused(SERVER_UNAVAILABLE, f'there is no server "{name}" here any more')
        kind = upstream.use.kind
        turn = Turn(session, call, function, reply_to)
        if self._processes.may_move(session, upstream):
            self._wait_for_start(upstream, turn, self._run_late)
            return
        if upstream.use.owner is not session and kind.policy is not COMMON:
            with self._lock:
                if session not in kind.sessions:
                    raise Refused(SERVER_UNAVAILABLE, f'server "{name}" has just been changed in '
                                  "the config: try again" if session in self._pool.sessions
                                  else "this session has ended")
                kind.turns.append(turn)
                upstream = self.place(kind, turn)
                full = upstream is None and self._needs_room(kind, turn)
            if upstream is None:
                turn.deadline = self._clock.after(CALL_PATIENCE, self._give_up, kind, turn)
                if full:
                    self._pool.make_room(name)
                self._pool.changed()  # an idle process of another kind may make way
                return
            self._pool.changed()
        self._begin(upstream, turn)

    def _run_late(self, turn, upstream):
        """It is known now which process runs this call. The caller may have left meanwhile, or the
        server may be another: then its config may forbid the call."""
        name = upstream.name
        self._clock.forget(turn.deadline)
        if turn.call.ended or turn.over:
            return
        try:
            if self._processes.entries.get(name) != upstream.entry:
                raise Refused(SERVER_UNAVAILABLE,
                              f'server "{name}" is not running: {upstream.problem}')
            self.run(turn.session, name, turn.call, turn.function, turn.reply_to)
        except Refused as problem:
            turn.fail(problem)

    def _needs_room(self, kind, turn):
        """Whether a session has to end for this call: nothing else makes way, and no earlier call
        of the same session has asked for that already. Requires the lock."""
        earlier = any(each.session is turn.session for each in kind.turns if each is not turn)
        return not (earlier or self._processes.has_room(kind.entry.name)
                    or self._processes.in_the_way())

    def hand_out(self):
        """[(process, turn)] for the calls that need not wait any more. Requires the lock."""
        placed = [(self.place(kind, turn), turn) for kind in list(self._processes.kinds.values())
                  for turn in list(kind.turns)]
        return [(upstream, turn) for upstream, turn in placed if upstream]

    def place(self, kind, turn):
        """The process for a call of kind.turns, which leaves them then; None if it has to wait.

        Calls get a process in the order in which they came, except those of a session that owns
        one already. Those that have ended are dropped. Requires the lock.
        """
        kind.turns = [each for each in kind.turns if not each.call.ended]
        if turn not in kind.turns:
            return None
        upstream = kind.of(turn.session)
        if upstream is None and kind.turns[0] is turn:
            upstream = kind.runner(turn)
        if upstream is None and self._processes.has_room(kind.entry.name):
            if kind.policy is TURNS:
                # The call does not wait for this one but for any: another may be free before.
                if kind.needs_more():
                    self._pool.new(kind, turn.session)
            elif kind.turns[0] is turn:
                upstream = self._pool.new(kind, turn.session)
                kind.give(upstream, turn)
        if upstream:
            kind.turns.remove(turn)
        return upstream

    def _begin(self, upstream, turn):
        """A process was found for this call. Raises Refused if it is not running."""
        if turn.holds:
            turn.call.on_end(functools.partial(self._call_ended, upstream, turn.call))
            upstream.audience.tell_level(turn.session)
        if upstream.state == STARTING and upstream.use.kind.policy is not COMMON:
            self._wait_for_start(upstream, turn, self._begin_late)
        else:
            turn.function(upstream)

    def _wait_for_start(self, upstream, turn, late):
        """Call late(turn, upstream) when the process is up, or could not be started."""
        turn.deadline = self._clock.after(CALL_PATIENCE, self._fail_if_not_begun, upstream, turn)
        upstream.when_settled(functools.partial(late, turn, upstream))

    def _begin_late(self, turn, upstream):
        """The process is up, or could not be started. The caller may have left meanwhile."""
        self._clock.forget(turn.deadline)
        if not turn.call.ended and not turn.over:
            try:
                turn.function(upstream)
            except Refused as problem:
                turn.fail(problem)

    def _call_ended(self, upstream, call):
        """A call for which its session holds this process has ended.

        If it was withdrawn, the server may still ask or log something that belongs to it. So the
        process is free only when its answer has come; if that does not come soon, it ends.
        """
        unanswered = upstream.life.pending.ids_of(call)
        if not unanswered:
            return self._free(upstream)
        with self._lock:
            upstream.use.late.update(dict.fromkeys(unanswered, call))
        return self._clock.after(LATE_SECONDS, self._too_late, upstream, call)

    def answered_late(self, upstream, our_id):
        """The server has answered a request that was withdrawn. Its reader thread."""
        with self._lock:
            call = upstream.use.late.pop(our_id, None)
            free = call is not None and call not in upstream.use.late.values()
        if free:
            self._free(upstream)

    def died(self, upstream):
        """The process has ended by itself: nothing comes late from it."""
        with self._lock:
            calls = set(upstream.use.late.values())
            upstream.use.late.clear()
        for _ in calls:
            self._free(upstream)

    def _too_late(self, upstream, call):
        """Called by the clock: the server may still do something for this call, although another
        session could hold the process by then."""
        with self._lock:
            ids = [our_id for our_id, late in upstream.use.late.items() if late is call]
            for our_id in ids:
                del upstream.use.late[our_id]
            upstream.use.spoilt = upstream.use.spoilt or bool(ids)
        if ids:
            self._free(upstream)

    def _free(self, upstream):
        kind = upstream.use.kind
        with self._lock:
            upstream.use.holds -= 1
            if upstream.use.holds:
                return
            upstream.use.holder = None
            spoilt = upstream.use.spoilt and not upstream.use.owner
            upstream.use.used = next(self._processes.numbers)
            look = len(kind.upstreams) > 1 and not upstream.use.look_planned
            upstream.use.look_planned = upstream.use.look_planned or look
            others_wait = any(each.turns for each in self._processes.kinds.values())
        if spoilt:
            self._pool.retire(upstream)
        elif others_wait:
            self._pool.changed()
        if look:
            self._clock.after(IDLE_SECONDS, self._end_if_idle, upstream, upstream.use.used)

    def _end_if_idle(self, upstream, used):
        """Called by the clock: some time ago this process was let go of."""
        kind = upstream.use.kind
        with self._lock:
            if upstream.use.owner or upstream not in kind.upstreams or kind.is_last(upstream):
                upstream.use.look_planned = False
                return
            in_use = upstream.use.holder or upstream.use.used != used
        if in_use:
            self._clock.after(IDLE_SECONDS, self._end_if_idle, upstream, upstream.use.used)
        else:
            self._pool.retire(upstream)

    def has_started(self, upstream):
        """The call that it was started for may be over by now, or have got another process."""
        if upstream.use.kind.policy is TURNS and not upstream.use.used:
            self._clock.after(IDLE_SECONDS, self._end_if_unused, upstream)

    def _end_if_unused(self, upstream):
        """Called by the clock: some time ago this process had started."""
        kind = upstream.use.kind
        with self._lock:
            unused = not (upstream.use.owner or upstream.use.holder or upstream.use.used
                          or upstream not in kind.upstreams or kind.is_last(upstream))
        if unused:
            self._pool.retire(upstream)

    def _give_up(self, kind, turn):
        """Called by the clock: this call has waited for long enough."""
        with self._lock:
            waits = turn in kind.turns
            if waits:
                kind.turns.remove(turn)
        if waits:
            self._fail(turn, kind)

    def _fail_if_not_begun(self, upstream, turn):
        """Called by the clock: likewise, if the process could not even begin to start."""
        with self._lock:
            waits = upstream in self._processes.to_start
        if waits:
            self._fail(turn, upstream.use.kind)

    def _fail(self, turn, kind):
        with self._lock:
            users = [upstream.use.owner or upstream.use.holder
                     for upstream in self._processes.all()]
            users = [session for session in users if session]
        idle = sum(not len(session.calls) for session in set(users))
        text = (f'server "{kind.entry.name}": no process was free within {CALL_PATIENCE:g} '
                f"seconds; {len(users)} belong to {len(set(users))} clients, of which {idle} are "
                f"idle, and {self._processes.limit} are allowed: close a client, raise "
                '--max-processes, or set "shared": true for servers that keep nothing of a '
                "client between two calls")
        log.warning("%s", text)
        turn.fail(Refused(SERVER_UNAVAILABLE, text))

    def begin_served(self, upstream, turn):
        self._clock.forget(turn.deadline)
        try:
            self._begin(upstream, turn)
        except Refused as problem:
            turn.fail(problem)
