"""The room for clients of Streamable HTTP with sessions, revisions 2025-03-26 to 2025-11-25.

Comes in by router.py, as a set of views and of POSTs. May import: transports.fabric
and transports.http.

In reading order:
    streamable.py           what is at /mcp: POST, GET, DELETE
    resumable_stream.py     a stream that can break and be resumed; a POST that may become one
"""


def streamable_http(*arguments):
    from .streamable import StreamableHttp  # only now: stdio needs no Flask
    return StreamableHttp(*arguments)
