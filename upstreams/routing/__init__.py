"""What a client says and sees: the switchboard.

May import: transports.fabric, transports.program, upstreams.server, upstreams.sharing.

In reading order:
    router.py       the switchboard: which sessions there are, and what transports are handed
    from_client.py  what a client says, and what becomes of it; `initialize`
    surface.py      what a session sees, and which server gets each of its requests; one server
    aggregate.py    all servers, or those of a group, together as one, with prefixed names
    status.py       the table at the start, --check, /health
"""
