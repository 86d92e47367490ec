"""How the servers are: the table at the start, what --check says, /health, the live page."""

import json
import threading
import time
import urllib.parse

from transports.fabric.text import outline, printable

from . import advice
from .catalog import LISTS, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from .gather import INITIALIZE_PATIENCE, LIST_SECONDS, Gather, Pages, when_settled
from .life import CLOSING, RUNNING
from .modern import MODERN

_HEADINGS = ("server", "state", "tools", "prompts", "resources", "templates", "seconds",
             "revision", "process", "is", "URL")
_PROCESS = {True: "in turns", False: "one a client", None: "by the client"}


def report(clock, show, upstreams, url=None, groups=()):
    """Call show(table) when the servers have settled, or after a few seconds. Those that were told
    to end meanwhile are not in it."""
    def tell():
        there = [upstream for upstream in upstreams if upstream.state != CLOSING]
        show(f"\n{table(there, url, groups)}\n")
    when_settled(upstreams, tell, clock, INITIALIZE_PATIENCE)


def check(pool, clock, as_json):
    """--check: wait until every server has started or failed; then the table and advice, or JSON.

    Each is started once, since no session uses it. Returns the text, and the exit status: 0, or 1
    if a server failed or could not list its tools. Advice does not change that.
    """
    done = threading.Event()
    upstreams = [upstream for server in pool.upstreams().values() for upstream in server]
    when_settled(upstreams, done.set)
    done.wait()
    tools = _tools(upstreams, clock)
    on_servers = {upstream: advice.about_server(upstream, tools.get(upstream, ()))
                  for upstream in upstreams}
    on_all = advice.about_clashes(tools)
    failed = any(upstream.state != RUNNING or TOOLS in upstream.unlisted for upstream in upstreams)
    as_text = _as_json if as_json else _as_text
    return as_text(pool, failed, on_servers, on_all), int(failed)


def _tools(upstreams, clock):
    """{upstream: its tools}. They are asked for again, since a catalog keeps no schemas."""
    tools, done = {}, threading.Event()

    def finish(lists, _missing):
        tools.update((upstream, lists[upstream]) for upstream in upstreams if lists.get(upstream))
        done.set()
    Gather([upstream for upstream in upstreams if upstream.catalog.count(TOOLS)
            and upstream.is_running()], finish, clock, LIST_SECONDS).start(
        lambda upstream, put: Pages(upstream, TOOLS, put).ask())
    done.wait()
    return tools


def _as_text(_pool, _failed, on_servers, on_all):
    told = [f"{upstream.name}: {line}" for upstream, found in on_servers.items()
            for line in advice.lines(found)] + list(advice.lines(on_all))
    return "\n".join([table(list(on_servers)), *(["", "advice:"] if told else []), *told])


def _as_json(pool, failed, on_servers, on_all):
    servers = health(pool)["servers"]
    for upstream, found in on_servers.items():
        servers[upstream.name].update(unlisted=upstream.unlisted,
                                      advice=[each._asdict() for each in found])
    return json.dumps({"ok": not failed, "servers": servers,
                       "advice": [each._asdict() for each in on_all]}, indent=2)


def health(pool):
    """{"servers": {name: {…, "processes": […]}}}, for machines. No secret of the config is in it.

    What is said of a server is said of the first of its processes that is up.
    """
    return {"servers": {name: _server(upstreams) for name, upstreams in pool.upstreams().items()}}


def live(pool):
    """[{"name", …, "processes": […]}] for the live page. No secret of the config is in it.

    It stays the same while nothing happens.
    """
    return [_live_server(pool.entries[name], upstreams)
            for name, upstreams in pool.upstreams().items()]


def _live_server(entry, upstreams):
    server = _server(upstreams)
    first = _first(upstreams)
    for said in server, *server["processes"]:
        del said["secondsUp"]
    return {"name": entry.name, "url": entry.url and entry.redact(entry.url), **server,
            "serverInfo": outline(first.info.get("serverInfo")) if server["revision"] else None,
            "lastLines": first.last_lines() if first else []}


def _first(upstreams):
    """The first that is up, or the first of all; None if there is none."""
    return next((upstream for upstream in upstreams if upstream.state == RUNNING),
                upstreams[0] if upstreams else None)


def _server(upstreams):
    processes = [_process(upstream) for upstream in upstreams]
    first = _first(upstreams)
    best = _process(first) if first else {"state": "not needed"}
    return {**{key: best.get(key) for key in (
        "state", "lastError", "restarts", "pid", "revision", "secondsUp", "tools", "prompts",
        "resources")}, "sessions": len({session for upstream in upstreams
                                        for session in upstream.audience.sessions()}),
        "callsInFlight": sum(process["callsInFlight"] for process in processes),
        "processes": processes}


def _process(upstream):
    life, owner, holder = upstream.life, upstream.owner, upstream.holder
    running = life.state == RUNNING
    return {
        "label": upstream.label, "state": life.state, "lastError": upstream.problem,
        "restarts": upstream.restarts.count,
        "pid": life.connection.pid if running else None,
        "revision": upstream.info.get("protocolVersion") if running else None,
        "secondsUp": round(time.monotonic() - life.running_since) if running else None,
        "capabilities": sorted(upstream.kind.capabilities),
        "owner": owner.name if owner else None, "heldBy": holder.name if holder else None,
        "sessions": len(upstream.audience.sessions()), "callsInFlight": len(life.pending),
        "tools": upstream.catalog.count(TOOLS), "prompts": upstream.catalog.count(PROMPTS),
        "resources": upstream.catalog.count(RESOURCES)}


def table(upstreams, url=None, groups=()):
    """A row for each server, the problems below; `url` is where HTTP clients find us, or None.

    With it, the groups, by their names, have a row each.
    """
    rows = [_HEADINGS] + [_row(upstream, url) for upstream in upstreams]
    if url:
        rows += [(name, "a group", *[""] * 8, f"{url}/mcp/{name} or /sse/{name}")
                 for name in groups]
        rows.append(("all together", *[""] * 9, f"{url}/mcp or /sse"))
    columns = [column for column in zip(*rows) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in zip(*columns)]
    for upstream in upstreams:
        lines += _problems(upstream)
    return "\n".join(lines)


def _row(upstream, url):
    address = f"{url}/mcp/{upstream.name} or /sse/{upstream.name}" if url else ""
    if upstream.state != RUNNING:
        return (upstream.name, upstream.state, *[""] * 8, address)
    info = upstream.info.get("serverInfo")
    info = info if isinstance(info, dict) else {}
    counts = [_count(upstream, method) for method in (TOOLS, PROMPTS, RESOURCES, TEMPLATES)]
    return (upstream.name, upstream.state, *counts, f"{upstream.life.seconds_to_start():.1f}",
            upstream.info["protocolVersion"], _served(upstream),
            printable(f"{info.get('name', '?')} {info.get('version', '?')}{_place(upstream)}"),
            address)


def _place(upstream):
    """Where a remote server is: without path and query, which may be secret."""
    url = upstream.entry.url
    return f" at {urllib.parse.urlsplit(url).netloc.rpartition('@')[2]}" if url else ""


def _served(upstream):
    modern = upstream.life.era.name == MODERN and upstream.entry.shared is not False
    return "one for all" if modern else _PROCESS[upstream.entry.shared]


def _count(upstream, method):
    if LISTS[method][0] not in upstream.capabilities:
        return "-"
    return "?" if method in upstream.unlisted else str(upstream.catalog.count(method))


def _problems(upstream):
    if upstream.problem:
        yield f"{upstream.name}: {upstream.problem}"
        for line in upstream.last_lines():
            yield f"    {line}"
    for method, problem in upstream.unlisted.items():
        yield f"{upstream.name}: {method} {problem}"
    if upstream.state == RUNNING and not upstream.unlisted:
        for problem in upstream.catalog.name_problems():
            yield f"{upstream.name}: {printable(problem)}"
