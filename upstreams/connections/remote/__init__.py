"""The room for servers that are reached by URL.

Comes in by router.py, as another kind of connection. May import: transports.fabric,
upstreams.connections.process.

In reading order:
    remote.py       one life of such a server
    posts.py        one message on its way to it, and the answer
    server_stream.py    what a legacy one says of its own accord
    post_threads.py     threads that send one message each, and wait for what it answers
    headers.py      the headers of our requests: the config's, and those that messages demand
    param_headers.py    parameters of a tool that are sent as headers too
    http_errors.py  what an HTTP error says
    event_stream.py     bytes of text/event-stream become events
    exchange.py     one HTTP request and its answer, on a socket that is kept
    server_socket.py    a TCP connection, with TLS and through a proxy
"""


def connect(entry, label, clock, guardian, longest):
    """A connection for one life of this server. See Connection in transports/fabric/peers.py."""
    from .remote import Remote  # only now: who has no remote server needs no TLS
    return Remote(entry, label, clock, longest)
