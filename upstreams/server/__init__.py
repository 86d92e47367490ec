"""Our client half of one server: its lives, what it offers, who hears it, and what it says.

May import: transports.fabric.

In reading order:
    README.md       for users: what happens when a server ends
    upstream.py     who the server is, what we ask it, and when its next life begins
    life.py         one life of it, from its start to its end, as a table
    legacy.py       what is particular to a server that begins with `initialize`
    from_server.py  what it says of its own accord, and which session gets that
    audience.py     the sessions that see it, and what each of them wants to hear
    catalog.py      names: prefixes, over-long ones, and the way back
    lists.py        whole lists, page after page; waiting until servers have started
"""
