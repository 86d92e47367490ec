"""The room for what is known of the programs that a config names.

Comes in by router.py, as a function that the config calls for each server with a command.
May import: transports.fabric, upstreams.config.

In reading order:
    commands.py      what is known of one command
    packages.py      the package, image or program that a command names
    stateful.json    those that are known to keep something of their client
"""

from .commands import known

__all__ = ["known"]
