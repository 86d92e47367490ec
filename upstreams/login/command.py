"""--login NAME and --logout NAME: what a person does once for a server."""

import functools
import sys
import threading

from transports.fabric.text import hidden
from upstreams.config.entries import Entry
from upstreams.server.catalog import TOOLS
from upstreams.server.life import RUNNING

from .attempt import log_in, log_out
from .bearer import logs_in, secrets_of
from .listener import open_browser
from .web import LoginFailed


def run(options, entries, new_pool, show, clock):
    """What --login or --logout does. `entries`: those of the config; new_pool(entries, options,
    clock) makes a Pool of some; show(text) prints for the user. Returns the exit status."""
    given = options.given
    name = given["--login"] or given["--logout"]
    try:
        entry = entry_for(entries, name)
        if given["--logout"]:
            show(f"{name}: {log_out(entry, clock)}")
            return 0
        # Mostly it refuses, and says how one gets in: see Bearer.needed.
        _connect(entry, new_pool({entry.name: entry}, options, clock), lambda upstream: None)
        record = log_in(entry, clock, functools.partial(_show, show, name), lambda: False,
                        sys.stdin)
        hidden.add(secrets_of(record))
    except LoginFailed as problem:
        show(f"router.py: {name}: {problem}")
        return 1
    return _connect(entry, new_pool({entry.name: entry}, options, clock),
                    functools.partial(_report, show))


def entry_for(entries, name):
    """The server of this name. Raises LoginFailed if nobody can log in there."""
    if name not in entries:
        raise ValueError(f"--login {name}: there is no such server; there are: "
                         f"{', '.join(entries)}")
    entry = entries[name]
    if not entry.url:
        raise ValueError(f"--login {name}: it is a program on this machine, not a remote server")
    if not logs_in(entry):
        raise ValueError(f"--login {name}: its config has headers of its own for that, or says "
                         '"oauth": false')
    return entry


def _show(show, name, url):
    show(f"{name}: to log in, open this in a browser (it is opened here, if there is one):\n\n"
         f"    {url}\n\nIf that browser is on another machine, paste the address where it ended "
         "here, and press Enter.")
    open_browser(url)


def _connect(entry, pool, then):
    """What then(upstream) returns when the server has let us in, or has not."""
    settled = threading.Event()
    try:
        pool.start()
        upstream = pool.upstreams()[entry.name][0]
        upstream.when_settled(settled.set)
        settled.wait()
        return then(upstream)
    finally:
        pool.close()


def _report(show, upstream):
    if upstream.state != RUNNING:
        show(f"router.py: {upstream.name}: logged in, but the server is not usable: "
             f"{upstream.problem}")
        return 1
    count = upstream.catalog.count(TOOLS)
    show(f"{upstream.name}: logged in, {count} tool{'' if count == 1 else 's'}")
    return 0


def at_url(url):
    """The Entry of --connect URL."""
    return Entry(name=url.partition("?")[0], url=url,
                 type="sse" if url.partition("?")[0].endswith("/sse") else None)
