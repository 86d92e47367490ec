"""From one config to the next, while sessions are open.

A server whose Entry has changed ends, and starts again as another one: its calls fail at once, its
processes end before others of its name start, and nothing that was learned of it counts any more.
Where only names, descriptions and limits have changed, its processes go on, and clients list anew.
Servers whose Entry is the same notice nothing. Called by the thread `reload`."""

import functools

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused
from transports.fabric.text import log, printable
from upstreams.config.checking import check_prefixes
from upstreams.server.audience import lists_changed
from upstreams.server.life import RUNNING
from upstreams.sharing.tables import PLAIN


def reload(router, config):
    """These are the servers and groups from now on. A session of a single server, or of a group,
    that is gone ends. Raises ConfigError if two names would clash."""
    entries = _without_wrong(config.entries, router.pool.entries)
    groups = router.groups
    router.set_groups(config.groups)
    new, gone, changed, renamed = reload_servers(router.pool, entries)
    # Again, if one was made meanwhile and remembers what another has listed
    while late := [upstream for name in renamed for upstream in router.pool.upstreams()[name]
                   if upstream.catalog.entry is not entries[name]]:
        for upstream in late:
            _take(upstream, entries[upstream.name])
    for session in router.sessions.all():
        name = session.surface_name
        if name in gone or name in groups and name not in config.groups:
            router.leave(session, f': "{name}" is not in the config any more')
    done = [f"{what}: {', '.join(names)}" for what, names in (
        ("new", new), ("gone", gone), ("started again", changed),
        ("changed without a restart", renamed),
        ("groups", [] if groups == config.groups else config.groups or ["none"])) if names]
    log.info("the config was read again: %s", "; ".join(done) or "nothing has changed")
    if names := [*new, *changed, *renamed]:
        router.tell(names)


def _without_wrong(entries, before):
    """These entries, but what is wrong now and was right before stays as it was."""
    wrong = {name: entry.problem for name, entry in entries.items()
             if entry.problem and name in before and not before[name].problem}
    for name, problem in wrong.items():
        log.error('server "%s" stays as it was, since its new entry is wrong: %s', name,
                  printable(entries[name].redact(problem)))
    entries = {name: before[name] if name in wrong else entry for name, entry in entries.items()}
    if wrong:
        check_prefixes(entries.values())
    return entries


def reload_servers(pool, entries):
    """These are the servers from now on. Returns the names that are (new, gone, changed and so
    started again, changed and not started again)."""
    new, gone, changed, renamed = names = _differences(pool.entries, entries)
    now = [name for name in renamed if entries[name].start == "now" != pool.entries[name].start]
    with pool.lock:
        over = [(server, list(server.uses), server.waiting) for server in pool.replace(entries)]
        for server, uses, _ in over:
            server.waiting = {}
            for use in uses:
                pool.forget(use)
        for use in _to_start(pool, [*new, *changed], now):
            pool.want(use)
        sessions = list(pool.sessions)
    for session in sessions:    # before processes end: what is listed there is listed anew
        _show(pool, session)
    for server, uses, waiting in over:
        name = server.entry.name
        why = ("its entry in the config has changed, and it is started again" if name in entries
               else "it was taken out of the config")
        for use in uses:
            use.upstream.close(why)
        problem = Refused(SERVER_UNAVAILABLE, f'server "{name}" is not running: {why}')
        for call in [call for queue in waiting.values() for calls in queue.values()
                     for call in calls]:
            call.fail(problem)
        with pool.lock:
            server.sessions.clear()
    pool.changed()
    return names


def _take(upstream, entry):
    """Its entry in the config is this one from now on, of which the server notices nothing."""
    before, upstream.entry = upstream.entry, entry
    listed, upstream.catalog = upstream.catalog, upstream.catalog.under(entry)
    if entry.timeout != before.timeout and upstream.state == RUNNING:
        upstream.life.watch_calls()
    if entry.describe != before.describe or upstream.catalog.known != listed.known:
        upstream.audience.lists_changed(upstream.capabilities.keys() & {"tools", "prompts"})


def _to_start(pool, fresh, now):
    """Of servers that are fresh, and of those that were to start at their first use and are to
    run `now`. Requires the pool's lock."""
    servers = pool.tables.servers
    return [*(servers[name].listers[PLAIN] for name in fresh if pool.share),
            *(use for name in now for use in servers[name].uses
              if use.is_lister() or not pool.share)]


def _differences(before, now):
    """The names that reload_servers returns."""
    other = [name for name, entry in now.items() if before.get(name, entry) != entry]
    renamed = [name for name in other if now[name].runs_like(before[name])]
    return ([name for name in now if name not in before],
            [name for name in before if name not in now],
            [name for name in other if name not in renamed], renamed)


def _show(pool, session):
    """Let the session see what its surface shows now, and tell it what that changes."""
    with pool.lock:
        if session not in pool.sessions:
            return
        before, now = session.upstreams, {}
        for name in session.surface.names(list(pool.entries)):
            server = pool.tables.servers.get(name)
            # The session of a single server that is gone keeps it, until it ends.
            stays = server is None or name in before and before[name].use.server is server
            now[name] = before[name] if stays else pool.see(session, name)
        session.upstreams = now
    uris = {name: old.audience.leave(session) for name, old in before.items()
            if now.get(name) is not old}
    lost = [name for name in uris if name not in now]
    told = {kind for name in lost for kind in before[name].offered}
    for name, upstream in now.items():
        if before.get(name) is upstream:
            continue
        old = before[name].offered if name in before else {}
        pool.arrive(session, upstream, uris.get(name, ()))
        if upstream.is_settling():  # when it is up, it tells what it has then
            upstream.when_settled(functools.partial(_tell_rest, session, upstream, old))
        else:
            told |= {*old, *upstream.offered}
    pool.release(session, [name for name in lost if name in pool.entries])
    lists_changed(session, told)


def _tell_rest(session, upstream, before):
    """A server that has changed is up, or could not be started: what it does not have any more."""
    lists_changed(session, before.keys() - upstream.capabilities.keys())
