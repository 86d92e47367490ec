"""The servers: which there are, which process of them serves whom, and what they say.

May import: transports.fabric and transports.program. Never the transports themselves.

In reading order:
    config/         mcp-config.json
    connections/    what carries the messages of a server: a child process; a room: by URL
    server/         our half of one server
    sharing/        which process serves which session
    routing/        what a client says and sees
    servers/        the two bundled servers, which are programs of their own
Rooms:
    eras/           servers of revision 2026-07-28
    relay/          --connect: one client, passed on to one server over HTTP as it is
    reload/         following the config file
    advice/         what --check advises
"""
