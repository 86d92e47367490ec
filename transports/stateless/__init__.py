"""The room for clients of revision 2026-07-28, the modern ones: they have no session, and each of
their requests says by itself who asks, and what that client can do.

Such a request is a session of its own, which ends with its answer (request_session.py). The
routing, the tables of ids and the lives of servers are the same for it as for any other. What
differs is at the edge: answers have another form, and a question of a legacy server becomes a part
of an answer, while its call is parked.

Comes in by router.py: over HTTP in front of the way that is at /mcp without it, over stdio as what
reads the pipe. May import: transports.fabric and transports.http.

In reading order:
    stateless.py        from a message to its session; what is asked first: server/discover
    request_session.py  the session of one request, which is
    asked_session.py    a client that waits for an answer, or is asked something
    answers.py          the form of an answer, in this era
    parked.py           calls whose client was asked something, and is to come back
    listening.py        subscriptions/listen: a request that lasts, and brings what changes
    tasks.py            calls that go on after their answer, and the ids of these
    header_checks.py    what the headers of a POST must say
    http_post.py        a POST at /mcp, and its answer
    pipe.py             the same over stdio, between legacy messages
"""


def stateless_http(behind):
    """What makes the way in of /mcp. What is no modern request goes on to what `behind` makes,
    if that is not None."""
    def make(*arguments):
        from .http_post import StatelessHttp  # only now: stdio needs no Flask
        return StatelessHttp(behind and behind(*arguments), *arguments)
    return make


def pipe(router):
    """What reads the messages of a client on a pipe in place of this router: see pipe.py."""
    from .pipe import Pipe
    return Pipe(router)
