"""What a session sees, and which server gets each of its requests.

May import: transports.fabric, and upstreams (but not the rooms below it).

In reading order:
    surface.py      what both surfaces have in common
    single.py       one server as it is
    aggregate.py    all servers, or those of a group, together as one, with prefixed names
"""
