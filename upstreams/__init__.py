"""Which MCP servers there are, which of them serves whom, and our half of each one.

May import: transports.fabric, and its own rooms `config` and `connections`.

In reading order:
    upstream.py     one server: its start, its requests, its messages, its end
    pool.py         which process serves which session
    handshake.py    a session's initialize
    catalog.py      names: prefixes, over-long ones, and the way back
    gather.py       lists of several servers, collected without a thread that waits
    audience.py     what a server says unasked, and which sessions hear it
    status.py       the table at the start, --check, /health
    surfaces/       what a session sees: one server, or all together
    connections/    what carries the messages: a child process
    config/         mcp-config.json
    servers/        the two bundled servers, which are programs of their own
"""
