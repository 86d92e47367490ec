"""What carries the messages between an Upstream and its server: transports/fabric/peers.py.

In reading order:
    process/    a child process
    remote/     a server that is reached by URL: a room
"""
