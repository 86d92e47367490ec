"""What the whole program shares and no single transport owns. May import: transports.fabric.

In reading order:
    command_line.py  what is wrong with it, what is not installed, and standard output
    options.py       what the options mean: limits, the address to listen on, access
    log.py           what is written to standard error, and what never is
    signals.py       Ctrl+C once, and twice; SIGHUP
    memory.py        what a large message has taken is given back
    clock.py         the one thread in which time passes
"""
