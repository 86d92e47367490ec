"""Which MCP servers there are, which process serves which session, and our half of each server.

May import: transports.fabric, and its own rooms `config` and `connections`.

In reading order:
    upstream.py     our half of one server: its start, its requests, its messages, its end
    life.py         what belongs to one life of a server, and ends with it
    era.py          which era it speaks: the first messages of each of its lives
    legacy.py       what is particular to a server of a revision with initialize
    modern.py       what is particular to one of revision 2026-07-28
    questions.py    what a modern server wants to know becomes questions to the session
    listening.py    what a modern server tells of its own accord: one subscription for all
    kinds.py        processes with equal capabilities, and who may use which
    processes.py    which processes there are, and which may start now
    turns.py        the way of a call to a process
    pool.py         which process serves which session
    reload.py       from one config to the next, while sessions are open
    handshake.py    a session's initialize
    catalog.py      names: prefixes, over-long ones, and the way back
    gather.py       lists of several servers, collected without a thread that waits
    from_client.py  what a client says, and what becomes of it
    from_server.py  what a server says of its own accord, and which session gets it
    audience.py     the sessions that see one server, and what each wants to hear from it
    answers.py      small Peers that stand between a server's answer and the peer that asked
    restarts.py     when a server that has ended is started again
    timeouts.py     calls that take too long
    schemas.py      tool schemas that some hosts refuse
    advice.py       what --check advises
    relay.py        --connect: one client, passed on to one server over HTTP as it is
    status.py       the table at the start, --check, /health
    surfaces/       what a session sees: one server, or all together
    connections/    what carries the messages: a child process, or HTTP
    config/         mcp-config.json
    servers/        the two bundled servers, which are programs of their own
"""
