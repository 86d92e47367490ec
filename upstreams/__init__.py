"""Which MCP servers there are, which process serves which session, and our half of each server.

Rooms of the core, from above to below; each imports only those below it:
    routing/        what a client says and sees
    sharing/        which process serves whom
    server/         our half of one server
    connections/    what carries the messages of one life of a server
    config/         our format of the config
    servers/        the two bundled servers, which are programs of their own
Rooms that can be taken out: eras/, reload/, relay/, advice/, connections/remote/, config/dialects/
"""
