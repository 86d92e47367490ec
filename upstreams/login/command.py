"""--login and --logout: what a person does once for a server."""

import contextlib
import functools
import logging
import sys
import threading

from transports.fabric.text import hidden, log
from transports.program.signals import interruptible
from upstreams.config.entries import Entry
from upstreams.connections.remote.connection import Origin
from upstreams.server.catalog import TOOLS
from upstreams.server.life import RUNNING

from .attempt import log_in, log_out
from .bearer import logs_in, needs_login, secrets_of
from .listener import open_browser
from .web import LoginFailed


def command(options, config, new_pool, show):
    """--login or --logout, as a function of the clock that returns the exit status. `config`:
    None with --connect; new_pool(entries, options, clock) makes a Pool; show(text) prints for the
    user, show(text, True) without hiding anything. Raises ValueError."""
    url, name = options.given["--connect"], options.given["NAME"]
    if bool(url) == bool(name):
        raise ValueError("--login and --logout need the name of a server of the config, or "
                         "--connect with its URL")
    entry = _at(url) if url else _named(name, config.entries)
    hidden.add(entry.secrets)
    return functools.partial(_run, options, entry, new_pool, show)


def _at(url):
    """The Entry of --connect. Raises ValueError if this is no URL."""
    try:
        Origin(url)
    except ValueError as problem:
        raise ValueError(f"--connect: {problem}, as http://127.0.0.1:8080/mcp") from None
    path = url.partition("?")[0]
    return Entry(name=path, url=url, type="sse" if path.endswith("/sse") else None)


def _named(name, entries):
    """The server of this name. Raises ValueError if nobody can log in there."""
    if name not in entries:
        raise ValueError(f"there is no server {name!r} in the config; there are: "
                         f"{', '.join(entries)}")
    if entries[name].problem:
        raise ValueError(entries[name].problem)
    if not entries[name].url:
        raise ValueError(f"{name} is a program on this machine: only remote servers have a login")
    if not logs_in(entries[name]):
        raise ValueError(f'{name}: its config has a header of its own for that, or "oauth": false')
    return entries[name]


def _run(options, entry, new_pool, show, clock):
    name, runs = entry.name, False
    try:
        if options.given["--logout"]:
            show(f"{name}: {log_out(entry, clock)}")
            return 0
        # Mostly it refuses, and says how one gets in: see Bearer.needed.
        with _unsaid():
            runs = _connect(entry, new_pool({entry.name: entry}, options, clock),
                            lambda upstream: upstream.state == RUNNING)
        record = log_in(entry, clock, functools.partial(_show, show, name),
                        lambda: interruptible.ending, sys.stdin)
        hidden.add(secrets_of(record))
    except LoginFailed as problem:
        show(f"router.py: {name}: {'it runs as it is, but ' if runs else ''}{problem}")
        return 1
    return _connect(entry, new_pool({entry.name: entry}, options, clock),
                    functools.partial(_report, show))


@contextlib.contextmanager
def _unsaid():
    """The log says nothing meanwhile, unless it says all: mostly that the server needs a login."""
    log.disabled = not log.isEnabledFor(logging.DEBUG)
    try:
        yield
    finally:
        log.disabled = False


def _show(show, name, url):
    show(f"{name}: to log in, open this in a browser (it is opened here, if there is one):\n\n"
         f"    {url}\n\nIf that browser is on another machine, paste the address where it ended "
         "here, and press Enter.", True)     # what else is hidden may be a part of the URL
    open_browser(url)


def _connect(entry, pool, then):
    """What then(upstream) returns when the server has let us in, or has not."""
    settled = threading.Event()
    try:
        pool.start()
        upstream = pool.upstreams()[entry.name][0]
        upstream.when_settled(settled.set)
        with interruptible:
            settled.wait()
        return then(upstream)
    finally:
        pool.close()


def _report(show, upstream):
    if upstream.state != RUNNING:
        is_refused = needs_login(upstream.entry) in str(upstream.problem)
        why = "refuses that; the log says what it answered" if is_refused \
            else f"is not usable: {upstream.problem}"
        show(f"router.py: {upstream.name}: logged in, but the server {why}")
        return 1
    count = upstream.catalog.count(TOOLS)
    show(f"{upstream.name}: logged in, {count} tool{'' if count == 1 else 's'}")
    return 0
