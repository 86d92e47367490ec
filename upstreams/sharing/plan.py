"""Which process serves whom: a function that decides, and touches nothing.

The Pool carries out the steps of a plan and asks again, until there are none. The README of this
folder has the rules. With turns, each session holds a process while it has a call there.
"""

from typing import NamedTuple

from upstreams.server.life import FAILED, RESTING, RUNNING, STARTING

from .tables import BRIEF, COMMON, OWN, PLAIN, UP

NEW = "one more process is made for the session; it is to start as soon as it may"
WANT = "a process that rests is to come back"
START = "a process that is wanted starts now"
GIVE = "the waiting calls of the session begin at the process, or fail if that has failed"
REST = "a process ends; what it has listed stays"
END = "a process ends and is forgotten"


class Step(NamedTuple):
    what: str               # one of these
    use: object = None      # the process, a Use; the Server and the key of a new one
    session: object = None


def plan(tables, most_starts=4):
    """The next steps; [] if there is nothing to do as things are."""
    steps, beside, is_made = [], tables.beside(), False
    for server in tables.servers.values():
        for key, waiting in server.waiting.items():
            press = sum(calls[0].presses for calls in waiting.values())
            for session in first_of(server, waiting):
                more = for_one(tables, server, key, session, press, beside)
                press -= 1
                # One that is made may take the last room.
                steps += [step for step in more if step.what is not NEW or not is_made]
                is_made = is_made or any(step.what is NEW for step in more)
        steps += _not_needed(server)
    return steps + _starts(tables, most_starts, steps) or _make_way(tables, beside)


def first_of(server, waiting):
    """The first session whose calls wait for any process, and those before it that have one which
    is not ready: they hold nobody up."""
    for session in waiting:
        yield session
        if not server.of(session):
            return


def for_one(tables, server, key, session, waiting=1, beside=None):
    """What is to be done for this session, first of those that wait, of which so many press."""
    policy, use = server.policy(key), server.of(session)
    if use and use.can_ask and policy is COMMON and not use.busy:
        use = None      # it became modern: this process is not needed any more
    if use is None and policy in (COMMON, None):
        use = server.listers[PLAIN]
    mine = [use for use in server.uses if use.key == key and use.is_free()]
    if use is None:
        use = _unused(mine, session) if policy is OWN else _best(mine, session)
    if use is None and not server.has_run:  # if one has failed for good, so would another
        use = next((use for use in server.uses if use.given_up), None)
    if use:
        if use.state == RESTING and not use.wanted:
            return [Step(WANT, use)]
        is_ready = use.state == RUNNING and use.ready and policy or use.state == FAILED
        return [Step(GIVE, use, session)] if is_ready and not use.wanted else []
    coming = sum(bool(use.wanted) or use.state in (STARTING, FAILED) or not use.ready
                 for use in mine if not use.given_up and not use.is_lister())
    if waiting > coming and tables.has_room(server, session, beside):
        return [Step(NEW, (server, key), session)]
    return []


def _not_needed(server):
    """A modern server needs its lister only. What is tired goes, or rests if it lists."""
    over = [use for use in server.uses if use.can_ask and server.policy(use.key) is COMMON]
    if over:
        return [Step(END, use) for use in over if use.state in (RUNNING, FAILED) and not use.busy]
    if tired := [use for use in server.uses
                 if use.tired and use.state == RUNNING and not use.is_needed()]:
        stays = {use for use in tired if use.is_lister() or not server.share}
        return [Step(REST if use in stays else END, use) for use in tired]
    return [Step(REST, use) for use in _spare(server) if not use.busy]


def _spare(server):
    """The listers that are up and of no use, as all who list there have another that is up."""
    if all(use.is_lister() or use.state not in UP for use in server.uses):
        return []
    have = {use.owner or use.holder for use in server.uses if use.state in UP}
    return [use for use in server.uses if use.state in UP and use.is_lister()
            and use.is_free() and not use.visited and use.listeners.keys() <= have]


def note_awaited(tables):
    """If nothing is to be done: what is spare still answers. The Pool hears when that is over."""
    for server in tables.servers.values():
        for use in _spare(server):
            use.awaited = True


def _unused(uses, session):
    """A process that has listed, and where nobody has called: it becomes the session's own."""
    return next((use for use in uses if not use.called and (
        use.state == RUNNING or use.state == STARTING and use.yields_to(session))), None)


def _best(uses, session):
    """Of those that are up: the one that this session used last, or that was used last at all."""
    return min((use for use in uses if use.state == RUNNING and use.ready), default=None,
               key=lambda use: (use.last_user != session.id, -use.used))


def _starts(tables, most, steps):
    """What is wanted starts in order, a few at the same time; none while another of its server
    ends, or must rest first."""
    starts, busy = [], {step.use.server for step in steps if step.what is REST}
    uses = tables.uses()
    free = most - sum(use.counts for use in uses)
    for use in sorted((use for use in uses if use.wanted), key=lambda use: use.wanted):
        server = use.server
        if server.ending or server in busy:
            continue
        busy.add(server)
        if before := [other for other in server.uses
                      if other is not use and other.yields_to(use.owner or use.session)]:
            starts += [Step(REST, other) for other in before
                       if other.state == RUNNING and not other.busy]
        elif free > 0:
            free -= 1
            starts.append(Step(START, use))
    return starts


def _make_way(tables, beside):
    """A call waits for room: a process of its server rests that has only listed, and does nothing
    now. Or of the processes that take turns, the one that nobody has used for the longest time
    ends; the last one of its kind only if there is no other, as is what lists and was called."""
    servers = tables.servers.values()
    wait = [server for server in servers if any(
        queue[first][0].presses and not server.of(first)
        and not tables.has_room(server, first, beside)
        for queue in server.waiting.values() for first in first_of(server, queue))]
    if not wait or any(server.ending for server in servers):
        return []
    for server in wait:
        for use in server.uses:
            if use.state == RUNNING and use.is_lister() and use.is_free() and not (
                    use.called or use.busy or use.subscribed):
                return [Step(REST, use)]
    found = [use for use in idle(tables.uses()) if use.used]
    found = found or [use for server in servers if server in wait or server.count() > 1
                      for use in server.uses if use.may_go()]
    return [Step(REST if use.is_lister() else END, use)
            for use in sorted(found, key=lambda use: use.used)[:1]]


def idle(uses):
    """Those that take turns, that nobody has, and whose sessions, if any, have another one."""
    turns = [use for use in uses if use.owner is None and use.state == RUNNING and not (
        use.is_lister() and (use.listeners or not use.key.startswith(BRIEF)))]
    kin = {}
    for use in turns:
        kin.setdefault((use.server, use.key), []).append(use)
    return [use for use in turns if use.is_free() and (
        len(kin[use.server, use.key]) > 1 or use.key not in use.server.sessions.values())]
