"""The servers: which there are, which process of them serves whom, and what they say.

May import: transports.fabric and transports.program. Never the transports themselves.

Each imports only those after it. In reading order:
    routing/        what a client says and sees
    sharing/        which process serves whom
    server/         our half of one server
    connections/    what carries the messages of a server: a child process; a room: by URL
    config/         our format of the config
    servers/        the two bundled servers, which are programs of their own
Rooms:
    eras/           servers of revision 2026-07-28
    relay/          --connect: one client, passed on to one server over HTTP as it is
    rest/           servers that start at their first use, and end when nobody needs them
    reload/         following the config file
    advice/         what --check advises
    login/          logging in at remote servers
"""
