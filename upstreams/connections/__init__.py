"""What carries the messages between an Upstream and its server.

May import: transports.fabric.

In reading order:
    process.py      a child process
    programs.py     what to install for a command that was not found
    guardian.py     a small process that ends the servers of a router that was killed
"""
