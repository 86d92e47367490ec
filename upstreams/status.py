"""How the servers are: the table at the start and after --check, and our part of /health."""

import threading
import time

from transports.fabric.text import printable

from .catalog import LISTS, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from .gather import INITIALIZE_PATIENCE, when_settled
from .upstream import RUNNING

_HEADINGS = ("server", "state", "tools", "prompts", "resources", "templates", "seconds",
             "revision", "is", "URL")


def report(clock, show, upstreams, url=None):
    """Call show(table) when the servers have settled, or after a few seconds."""
    when_settled(upstreams, lambda: show(f"\n{table(upstreams, url)}\n"), clock,
                 INITIALIZE_PATIENCE)


def check(pool):
    """--check: wait until every server has started or failed.

    Returns the table, and the exit status: 0, or 1 if a server failed.
    """
    done = threading.Event()
    upstreams = pool.shared.values()
    when_settled(upstreams, done.set)
    done.wait()
    return table(upstreams), int(any(upstream.state != RUNNING for upstream in upstreams))


def health(pool):
    """{"servers": {name: …}, "own": […]}, for machines. No secret of the config is in it."""
    return {"servers": {name: _health(upstream) for name, upstream in pool.shared.items()},
            "own": [{"server": upstream.name, **_health(upstream)} for upstream in pool.own()]}


def _health(upstream):
    life = upstream.life
    running = life.state == RUNNING
    return {
        "state": life.state, "lastError": upstream.problem, "restarts": upstream.restarts.count,
        "pid": life.connection.pid if running else None,
        "revision": upstream.info.get("protocolVersion") if running else None,
        "secondsUp": round(time.monotonic() - life.running_since) if running else None,
        "sessions": len(upstream.audience.sessions()), "callsInFlight": len(life.pending),
        "tools": upstream.catalog.count(TOOLS), "prompts": upstream.catalog.count(PROMPTS),
        "resources": upstream.catalog.count(RESOURCES)}


def table(upstreams, url=None):
    """A row for each server, the problems below; `url` is where HTTP clients find us, or None."""
    rows = [_HEADINGS] + [_row(upstream, url) for upstream in upstreams]
    if url:
        rows.append(("all together", *[""] * 8, f"{url}/mcp or /sse"))
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
        return (upstream.name, upstream.state, *[""] * 7, address)
    info = upstream.info.get("serverInfo")
    info = info if isinstance(info, dict) else {}
    counts = [str(upstream.catalog.count(method)) if LISTS[method][0] in upstream.capabilities
              else "-" for method in (TOOLS, PROMPTS, RESOURCES, TEMPLATES)]
    return (upstream.name, upstream.state, *counts, f"{upstream.life.seconds_to_start():.1f}",
            upstream.info["protocolVersion"],
            printable(f"{info.get('name', '?')} {info.get('version', '?')}"), address)


def _problems(upstream):
    if upstream.problem:
        yield f"{upstream.name}: {upstream.problem}"
        for line in upstream.last_lines():
            yield f"    {line}"
    for name, shown in upstream.catalog.cut_names():
        yield (f"{upstream.name}: {printable(name)} is too long with its prefix and is shown as "
               f'{printable(shown)}; a short "prefix" in the config helps')
