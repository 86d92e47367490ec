"""Many clients over HTTP.

May import: transports.fabric and transports.program.

In reading order:
    server.py           listen, start the servers, import the rest; the end
    sse.py              HTTP+SSE, revision 2024-11-05: a way in, as each in WAYS of router.py is
    replies.py          what the answers look like: replies, JSON-RPC errors, events
    app.py              the Flask application: everything but the POSTs with messages
    access_check.py     which requests are let in: Host, Origin, token, CORS
    workers.py          the worker threads, and the streams of events that they feed
    connection.py       one TCP connection of a client: the fast way of a message
    request.py          one request, with a cache of headers; all that we need of waitress
    loop.py             the socket loop
    streamable/         a room: Streamable HTTP with sessions, revisions 2025-03-26 to 2025-11-25
    live/               a room: the page that shows what goes on

A way in comes from make(router, clock, workers, heartbeat). It has title, path, views(), a Flask
blueprint; reads(request), what the header of a POST says to it, None if that is for another way;
and post(request, said, connection, quickly), which returns a Reply, or None if it calls
connection.answer(reply) or connection.become_stream(post) later. `quickly`, in MainThread, it
returns BY_WORKER if something may have to be started: then a worker calls it again.
A *stream* is an open HTTP response of events, or the ResumableStream behind it; nothing else.
"""


def http_sse(*arguments):
    from .sse import HttpSse  # only now: stdio needs no Flask
    return HttpSse(*arguments)
