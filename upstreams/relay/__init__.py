"""The room for --connect: one client, passed on to one server over HTTP as it is.

Comes in by router.py, as a program of its own. May import: transports.fabric,
transports.program, upstreams.config, upstreams.server, upstreams.connections.remote.

In reading order:
    entry.py    the URL as a server
    relay.py    one client, one server, and what is kept to begin anew
"""


def pass_on(*arguments):
    """See relay.pass_on."""
    from .relay import pass_on  # only now: who routes needs no part of it
    return pass_on(*arguments)
