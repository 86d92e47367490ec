"""The room for servers that are reached by URL.

Comes in by router.py, as another kind of connection. May import: transports.fabric,
upstreams.connections.process.

Locks that are held over a call (see transports/fabric):
    ConfigHeaders._getting  held while the headersCommand of a server runs
    Remote._delivering      held while a message of the server is passed on
    Senders._lock           held while a thread is started

In reading order:
    remote.py           one life of such a server
    message_post.py     one message on its way to it, and the answer
    server_stream.py    what a legacy one says of its own accord
    senders.py          threads that send, and wait for what is answered
    wire.py             the way of one thread: a request and its answer, on a kept connection
    connection.py       where the server is, and a TCP connection there, with TLS and proxies
    config_headers.py   the headers that the config wants
    message_headers.py  the headers that a message demands; a circle of routers
    problem.py          what an HTTP error says
    event_stream.py     bytes of text/event-stream become events
"""

from .message_headers import circle

__all__ = ["GUARDS", "check_request", "circle", "connect"]

GUARDS = (circle.closes,)   # see Access in transports/program/options.py


def check_request(url, headers):
    """[(where, what is wrong)] of the config of a server, see config_headers.py."""
    from .config_headers import check_request  # only now, see below
    return check_request(url, headers)


def connect(entry, label, clock, guardian, longest, login=None):
    """A connection for one life of this server. See Connection in transports/fabric/peers.py.

    `login`, if there is one, has four methods. headers(refused) returns more headers of each
    request, [(name, value)]; `refused` are those that the server did not take, or None; it raises
    ValueError if there can be none now. needed(problem) says what a person must do before the
    server takes what it answered with this HttpFailed; None if that is nothing. changed() says
    whether it may have been done since. stop() says that no headers are needed any more.
    """
    from .remote import Remote  # only now: who has no remote server needs no TLS
    return Remote(entry, label, clock, longest, login)
