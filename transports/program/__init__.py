"""What the whole program shares and no single transport owns.

May import: nothing but the standard library.

In reading order:
    options.py    what the options mean: limits, the address to listen on, access
    signals.py    Ctrl+C once, and twice
    clock.py      the one thread in which time passes
"""
