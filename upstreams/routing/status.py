"""How the servers are: the table at the start, what --check says, /health, the live page."""

import json
import re
import threading
import time

from transports.fabric.messages import dig
from transports.fabric.text import log, outline, printable
from upstreams.server.catalog import LISTS, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from upstreams.server.legacy import LEGACY
from upstreams.server.life import RESTING, RUNNING
from upstreams.server.lists import when_settled

MOST_SHOWN = 40     # characters of what a server calls itself
PATIENCE = 5.0  # seconds, after which those that wait for slow servers are told
_COUNTED = {"tools": TOOLS, "prompts": PROMPTS, "resources": RESOURCES, "templates": TEMPLATES}
_HEADINGS = ("server", "state", *_COUNTED, "seconds", "revision", "process", "is")
_PROCESS = {True: "in turns", False: "one a client", None: "by the client"}


def await_all(pool):
    """--check: wait until all have started or failed: once each, since no session uses them."""
    upstreams, done = sum(pool.upstreams().values(), []), threading.Event()
    when_settled(upstreams, done.set)
    while not done.wait(PATIENCE):
        log.warning("still starting: %s", ", ".join(
            upstream.name for upstream in upstreams if upstream.is_settling()))


def check(pool, clock, as_json, advise=None):
    """How that went: the table and advice, or JSON; and the exit status: 0, or 1 if a server does
    not run or could not list its tools. Advice does not change that: advise(upstreams, clock), if
    there is one, returns its lines and {server's name, or None for all: its advice}."""
    upstreams = sum(pool.upstreams().values(), [])
    lines, advice = advise(upstreams, clock) if advise else ([], {})
    failed = any(upstream.state != RUNNING or TOOLS in upstream.unlisted for upstream in upstreams)
    if not as_json:
        return "\n".join([table(upstreams), *lines]), int(failed)
    servers = health(pool)
    for upstream in upstreams:
        servers[upstream.name].update(unlisted=upstream.unlisted,
                                      advice=advice.get(upstream.name, []))
    return json.dumps({"ok": not failed, "servers": servers, "advice": advice.get(None, [])},
                      indent=2), int(failed)


def best_of(upstreams):
    """Of the processes of a server, the first that is up, or else the first; None without one."""
    return min(upstreams, key=lambda upstream: upstream.state != RUNNING, default=None)


def health(pool):
    """{server: {…, "processes": […]}}, for machines. No secret of the config is in it."""
    return {name: _server(upstreams) for name, upstreams in pool.upstreams().items()}


def _server(upstreams):
    """What is said of a server is said of the best of its processes."""
    processes = [_process(upstream) for upstream in upstreams if upstream.state != RESTING]
    first = best_of(upstreams)
    best = _process(first) if first else {
        "state": "not needed", "outlook": "it is started when a client uses it"}
    return {
        **{key: best.get(key) for key in (
            "state", "lastError", "outlook", "restarts", "pid", "revision", "secondsUp",
            "restingSince", "cost", *_COUNTED)},
        "sessions": len({session for upstream in upstreams
                         for session in upstream.audience.sessions()}),
        "callsInFlight": sum(process["callsInFlight"] for process in processes),
        "url": first and _origin(first.entry.url),
        "serverInfo": outline(first.info.get("serverInfo")) if best.get("revision") else None,
        "lastLines": first.last_lines() if first else [], "processes": processes}


def _process(upstream):
    life, owner, holder = upstream.life, upstream.use.owner, upstream.use.holder
    running = life.state == RUNNING
    known = running or life.state == RESTING
    return {
        "label": upstream.label, "state": life.state, "lastError": upstream.problem,
        "outlook": None if running else upstream.restarts.outlook,
        "restarts": upstream.restarts.count,
        "pid": life.connection.pid if running else None,
        "revision": upstream.info.get("protocolVersion") if known else None,
        "secondsUp": round(time.monotonic() - life.running_since) if running else None,
        "restingSince": life.since and round(life.since) if life.state == RESTING else None,
        "cost": upstream.cost,      # what its last start took
        "capabilities": sorted(upstream.use.capabilities),
        "owner": owner.name if owner else None, "heldBy": holder.name if holder else None,
        "sessions": len(upstream.audience.sessions()), "callsInFlight": len(life.pending),
        **{kind: upstream.catalog.count(method) for kind, method in _COUNTED.items()}}


def table(upstreams, is_logged=False):
    """A row for each server, a column for what any has; below, what the log has not told."""
    rows = [_row(upstream) for upstream in upstreams]
    columns = [[heading, *(row.get(heading, "") for row in rows)] for heading in _HEADINGS]
    columns = [column for column in columns if {*column[1:]} - {"", "-", "0"}]
    widths = [max(map(len, column)) for column in columns]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in zip(*columns)]
    return "\n".join([*lines, *(line for upstream in upstreams
                                for line in _problems(upstream, is_logged))])


def where(url, paths, groups):
    """Where HTTP clients find us, in a line."""
    one = f"one server or group ({', '.join(groups)})" if groups else "one server"
    return (f"all together: {url}{' or '.join(paths)}; {one}: "
            + " or ".join(f"{path}/NAME" for path in paths))


def _row(upstream):
    life = upstream.life    # once: it may be replaced meanwhile
    row = {"server": upstream.name, "state": _state(life)}
    if life.state != RUNNING and not (life.state == RESTING and upstream.info):
        return row
    for heading, method in _COUNTED.items():
        row[heading] = ("-" if LISTS[method][0] not in upstream.capabilities else "?"
                        if method in upstream.unlisted else str(upstream.catalog.count(method)))
    modern = upstream.use.server.era not in (None, LEGACY)
    for_all = modern and upstream.entry.shared is not False
    what = [str(dig(upstream.info, "serverInfo", key) or "?") for key in ("name", "version")]
    return {**row, "is": printable(" ".join(what))[:MOST_SHOWN],
            "seconds": f"{upstream.cost.get('startSeconds', 0):.1f}",
            "revision": upstream.info["protocolVersion"],
            "process": "one for all" if for_all else _PROCESS[upstream.entry.shared]}


def _state(life):
    if life.state != RESTING or not life.since:
        return life.state
    form = "%H:%M" if time.time() - life.since < 86400 else "%Y-%m-%d"
    return f"{life.state} since {time.strftime(form, time.localtime(life.since))}"


def _origin(url):
    """Where a remote server is: without path and query, where some vendors put the key, and
    without a login. Of any text: what shows the state of all must not fail for one."""
    return url and re.sub(r"(://)(?:[^/?#]*@)?([^/?#]*)[\s\S]*", r"\1\2", url)


def _problems(upstream, is_logged):
    problem = upstream.problem
    if problem and not is_logged:
        yield f"{upstream.name}: {problem}"
        yield from (f"    {line}" for line in upstream.last_lines() if line not in problem)
    for method, problem in upstream.unlisted.items():
        yield f"{upstream.name}: {method} {problem}"
    if upstream.offered and upstream.capabilities and not upstream.unlisted:
        for problem in upstream.catalog.name_problems():
            yield f"{upstream.name}: {printable(problem)}"
