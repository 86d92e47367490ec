"""A server that is a child process. May import: transports.fabric.

In reading order:
    process.py      its pipes, its threads, and the three steps of its end
    program.py      its variables, and the words by which Windows starts it
    guardian.py     a small process that ends the servers of a router that was killed
"""
