"""The way of a call to its process, and of the process from one session to the next.

A call runs at once if its process is up and free. Else it waits in a queue of its server, and
plan.py says when its session's turn has come. No thread waits for that."""

import functools

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused
from transports.fabric.text import log
from upstreams.server.life import RUNNING, STARTING

from .plan import GIVE, first_of, for_one, idle
from .processes import STARTS_AT_ONCE, Processes
from .tables import BRIEF, COMMON, OWN, PLAIN, TURNS, UP, WaitingCall, refresh

CALL_PATIENCE = 30.0    # seconds that a call waits for a process that is free
PRESSES = 0.05          # seconds for which it waits for a turn before one more process starts
ROOM_SECONDS = 2.0      # after which it looks once more for a process that makes way
LATE_SECONDS = 2.0      # in which a server must answer a call that was withdrawn from it
IDLE_SECONDS = 60.0     # after which a process that nobody holds ends, except the last of its kind
LAST_SECONDS = 1800.0   # after which that ends too, if there is no session that it is for


class Waiting(Processes):
    """The calls that wait, and those for which a session holds a process."""

    def run(self, session, name, call, function, reply_to):
        """Call function(upstream) with the process that runs this call: at once, if there is one,
        and then it may raise Refused; else in the thread that makes it so. If none is there in
        time, or it refuses then, an error goes to `reply_to`."""
        upstream = session.upstreams.get(name)
        if upstream is None:
            raise Refused(SERVER_UNAVAILABLE, f'there is no server "{name}" here any more')
        use = upstream.use
        if use.recent and upstream.life.state == RUNNING and (
                use.owner is session
                or use.key == PLAIN and use.server.policy(session.key) is COMMON):
            use.visited = use.visited or session.is_brief
            function(upstream)
            return
        if session.is_brief and session not in self.sessions:   # it was only visiting
            self.join(session)
            if call.ended:      # and so it may have left just before
                self.release(session)
            use = session.upstreams.get(name, upstream).use
        server, waiting = use.server, WaitingCall(session, call, function, reply_to)
        with self.lock:
            key = server.sessions.get(session)
            if key is None or self.tables.servers.get(name) is not server:
                raise Refused(SERVER_UNAVAILABLE, f'server "{name}" has just been changed in '
                              "the config: try again" if session in self.sessions
                              else "this session has ended, or its initialize was refused")
            use = self._use_now(server, key, session)
            if use:
                self.give(use, session, server.policy(key), [waiting])
            else:
                server.waiting[key].setdefault(session, []).append(waiting)
                waiting.presses = server.policy(key) is not TURNS or STARTS_AT_ONCE > sum(
                    use.key == key and (use.state in UP or bool(use.wanted))
                    for use in server.uses)
        if use:
            self.look_now()
            self.begin(use, [waiting])
        else:
            self._wait(server, key, waiting)

    def _use_now(self, server, key, session):
        """The process that a call of this session gets at once, or None. Requires the lock."""
        queue = server.waiting.setdefault(key, {})
        if not server.of(session) and not all(map(server.of, queue)):
            return None
        refresh(server.uses)
        steps = for_one(self.tables, server, key, session)
        return steps[0].use if steps and steps[0].what is GIVE else None

    def _wait(self, server, key, waiting):
        waiting.call.on_end(functools.partial(self._withdrawn, server, key, waiting))
        if waiting.presses:
            self._press(server, key, waiting)
        else:
            waiting.deadline = self.clock.after(PRESSES, self._press, server, key, waiting)

    def _press(self, server, key, waiting, again=False):
        """Called by the clock again and again while it waits: processes may start or end for it.
        If there is no room for the first of a queue, there is none for those behind it."""
        with self.lock:
            if not self._waits(server, key, waiting):
                return
            waiting.presses, queue, calls = True, server.waiting[key], []
            if next(iter(queue)) is waiting.session:    # what was busy may make way by now
                calls = [each[0] for each in queue.values()]
            elif not again and self.tables.has_room(server, waiting.session):
                calls = [waiting]
        if not again:
            waiting.deadline = self.clock.after(CALL_PATIENCE, self._patience_ends, server, key,
                                                waiting)
        self.clock.after(ROOM_SECONDS, self._press, server, key, waiting, True)
        if calls:
            self.changed()
            all(self._find_room(server, key, each) for each in calls)

    def _find_room(self, server, key, waiting):
        """Let another session end, if that can make room for this call. False if none can."""
        session, owners = waiting.session, set()
        with self.lock:
            if server.of(session) or not waiting.presses \
                    or [waiting] != server.waiting.get(key, {}).get(session, [])[:1] \
                    or any(use.is_free() and (use.wanted or use.state == STARTING)
                           for use in server.uses if use.key == key and not use.is_lister()):
                return True     # it needs none
            if not self.tables.has_room(server, session) \
                    and not any(each.ending for each in self.all_servers()):
                owners = {use.holder if use.holder and use.holder.is_parked else use.owner
                          for each in self.tables.servers.values() if each is server
                          or each.count() > 1 for use in each.uses} - {None}
        made = bool(owners) and self.make_room(owners)
        if made:
            self.changed()
        return made

    def _waits(self, server, key, waiting):
        """Requires the lock."""
        return waiting in server.waiting.get(key, {}).get(waiting.session, ())

    def _withdrawn(self, server, key, waiting):
        """The call has ended: it waits no more, if it did."""
        self.clock.forget(waiting.deadline)
        with self.lock:
            self._take_back(server, key, waiting)

    def _take_back(self, server, key, waiting):
        """It waits no more, if it did. Requires the lock."""
        if self._waits(server, key, waiting):
            server.waiting[key][waiting.session].remove(waiting)
            if not server.waiting[key][waiting.session]:
                del server.waiting[key][waiting.session]

    def _patience_ends(self, server, key, waiting):
        """Called by the clock. It goes on waiting while a process that it could have is starting,
        or is about to and waits for nothing that may last."""
        with self.lock:
            if not self._waits(server, key, waiting):
                return
            refresh(server.uses)
            blocked = server.ending or any(
                use.state == RUNNING and use.busy and use.yields_to(waiting.session)
                for use in server.uses)
            keys = {key} if server.policy(key) in (OWN, TURNS) else {key, PLAIN}
            more = any(use.state == STARTING or use.state == RUNNING and not use.ready
                       or use.wanted and not blocked for use in server.uses
                       if use.key in keys and use.owner in (None, waiting.session))
            if not more:
                self._take_back(server, key, waiting)
            has_room = self.tables.has_room(server, waiting.session)
            uses = self.tables.uses()
            users = [use.owner or use.holder for use in uses]
            owned = dict.fromkeys(use.server.entry.name for use in uses
                                  if use.owner and not use.server.entry.shared)
        if more:
            waiting.deadline = self.clock.after(CALL_PATIENCE, self._patience_ends, server, key,
                                                waiting)
            return
        users = [session for session in users if session]
        idle = sum(not len(session.calls) for session in set(users))
        why = ("another one of it has not ended, or is busy with a request that it does not answer"
               if has_room else
               f"{len(users)} belong to {len(set(users))} clients, of which {idle} are idle, and "
               f"{self.tables.limit} are allowed: close a client, or raise --max-processes"
               + (f', or set "shared": true for {", ".join(owned)}, if that keeps nothing of a '
                  "client between two calls" if owned else ""))
        text = (f'server "{server.entry.name}": no process was free within {CALL_PATIENCE:g} '
                f"seconds; {why}")
        log.warning("%s", text)
        waiting.fail(Refused(SERVER_UNAVAILABLE, text))

    def begin(self, use, calls):
        """These calls begin at this process, or fail if it is not running."""
        for waiting in calls:
            self.clock.forget(waiting.deadline)
            if waiting.holds:
                waiting.call.on_end(functools.partial(self._call_ended, use, waiting.call))
                use.upstream.audience.tell_server(waiting.session)
            if waiting.call.ended:
                continue
            use.called = use.recent = True
            use.visited = use.visited or waiting.session.is_brief
            try:
                waiting.function(use.upstream)
            except Refused as problem:
                waiting.fail(problem)

    def _call_ended(self, use, call):
        """A call for which its session holds this process has ended. If it was withdrawn, the
        server may still ask or log for it: it is free when it answers, and ends in LATE_SECONDS
        without that."""
        ids = [our_id for our_id, row in use.upstream.life.pending.rows() if row.call is call]
        with self.lock:
            use.holds -= 1
            use.late.update(ids)
        if ids:
            self.clock.after(LATE_SECONDS, self._too_late, use, ids)
        else:
            self._let_go(use)

    def answered_late(self, upstream, our_id):
        """The server has answered a request that was withdrawn. Its reader thread."""
        use = upstream.use
        if our_id in use.late:
            with self.lock:
                use.late.discard(our_id)
            self._let_go(use)

    def _too_late(self, use, ids):
        """Called by the clock."""
        with self.lock:
            use.spoilt = use.spoilt or not use.late.isdisjoint(ids)
            use.late.difference_update(ids)
        self._let_go(use)

    def _let_go(self, use):
        """If nothing of its holder is under way there any more, the process is free."""
        with self.lock:
            if use.holder is None or use.holds or use.late:
                return
            use.holder, use.used = None, next(self.numbers)
            spoilt = use.spoilt and not use.owner and use in use.server.uses
            if spoilt:      # it must not serve another session
                self.forget(use)
            given, calls = (None, ()) if spoilt else self._next_turn(use)
            wanted = any(queue for server in self.tables.servers.values()
                         for queue in server.waiting.values())
        if spoilt:
            self._close(use)
        if calls:
            self._begun.here = True
            try:
                self.begin(given, calls)
            finally:
                self._begun.here = False
        elif spoilt or wanted:
            self.changed()
        self.look_if_idle(use)

    def _next_turn(self, use):
        """(a process, the calls that begin there): the first that waits has it, without a look at
        all others. Calls that end while they begin do not begin the next ones within that: there
        may be many. Requires the lock."""
        queue = use.server.waiting.get(use.key)
        if queue and not getattr(self._begun, "here", False):
            refresh([use])
            for session in first_of(use.server, queue):
                steps = for_one(self.tables, use.server, use.key, session, 0)
                if steps and steps[0].what is GIVE:
                    calls = queue.pop(session)
                    self.give(steps[0].use, session, use.server.policy(use.key), calls)
                    return steps[0].use, calls
        return None, ()

    def look_if_idle(self, use):
        """If nobody uses it until some time has passed, it ends."""
        if use.can_ask and not use.owner:
            self.clock.forget(use.idle)
            use.idle = self.clock.after(IDLE_SECONDS, self._end_if_idle, use, use.used)

    def _end_if_idle(self, use, used, is_late=False):
        """Called by the clock."""
        with self.lock:
            refresh(use.server.uses)
            is_last = [other for other in use.server.uses if other.key == use.key] == [use]
            over = use.used == used and (is_late or not is_last) and (
                use in idle(use.server.uses) or use.state not in UP and use.is_left())
            if over:
                self.forget(use)
            stays = use.used == used and use in use.server.uses and use.key.startswith(BRIEF)
        if stays and not is_late:
            use.idle = self.clock.after(LAST_SECONDS, self._end_if_idle, use, used, True)
        if over:
            self._close(use)
            self.changed()
