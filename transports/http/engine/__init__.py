"""waitress, subclassed for speed.

May import: transports.fabric and transports.program.

In reading order:
    connection.py   one TCP connection of a client
    sockets.py      the socket loop
"""
