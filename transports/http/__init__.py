"""Many clients over HTTP, served by waitress.

May import: transports.fabric, transports.program, and its own room `engine`.

In reading order:
    serve.py          listen, start the servers, import the rest
    server.py         the Flask application, waitress and its threads
    sse.py            HTTP+SSE, revision 2024-11-05
    streamable.py     Streamable HTTP with sessions, revisions 2025-03-26 to 2025-11-25
    streams.py        a stream that can be resumed
    replies.py        the HTTP answers: text, JSON-RPC errors, events
    access_check.py   which requests are let in: Host, Origin, token, CORS
    engine/           waitress subclassed for speed
"""
