"""Many clients over HTTP, served by waitress.

May import: transports.fabric, transports.program, and its own room `engine`.

In reading order:
    serve.py            listen, start the servers, import the rest
    server.py           waitress, put together with what follows; its threads; its end
    posts.py            the requests that carry messages, which bypass Flask
    app.py              the Flask application: everything else
    front_page.py       what is at `/`
    live_page.py        what goes on, for a browser
    live/               the files of that page: HTML, CSS and JavaScript; begin with live.js
    sse.py              HTTP+SSE, revision 2024-11-05
    streamable.py       Streamable HTTP with sessions, revisions 2025-03-26 to 2025-11-25
    waiting_post.py     a POST whose answer is still to come
    streams.py          a stream that can be resumed
    stream_threads.py   how many streams are open, and threads for them
    replies.py          the HTTP answers: text, JSON-RPC errors, events
    access_check.py     which requests are let in: Host, Origin, token, CORS
    engine/             waitress subclassed for speed

A *stream* is an open HTTP response of events, or the ResumableStream behind it; nothing else.
"""
