"""The queue fabric: what a message is, whose it is, and how it reaches its peer.

Knows no HTTP, no process and no method of MCP beyond the few that carry ids and tokens.

The rule of locks, here and everywhere: a lock protects one table, for a few lines. Nothing is
called, sent or written while it is held, so locks need no order. The exceptions; rooms list their
own, and a test finds any other:
    the pen of an outbox    held during a write; its order with other locks: http/connection.py
    ClientConnection._lock  held while the socket takes bytes, without waiting
    Workers._count_lock     held while threads are started, or told to end
    Guardian._lock          held while one short line is written to the guardian, or it ends
    Process._lock           held while a process is signalled or reaped, so that it is the one
    Processes.lock          held while plan.py decides and the tables of sharing are written
    Pool.lock               the same lock
    Stderr.lock             of the log, held during a write to stderr, which never blocks

May import: nothing but the standard library.

In reading order:
    peers.py      the interfaces that everything else relies on; who sees what passes
    messages.py   what a message is; bytes to messages and back; error codes
    pending.py    ids and progress tokens, out and home again; cancellation
    outbox.py     the queue before each stream and pipe, and the right to write to it
    capabilities.py  what a client can be asked
    gather.py     waiting without a thread that waits
    text.py       the log; text from outside, made fit for that and for tables
    session.py    one client's conversation
"""
