"""The room for the config files of other hosts.

Comes in by router.py, as a step between reading a file and checking it. May import:
transports.fabric, upstreams.config.

In reading order:
    dialects.py     how hosts write their configs: all that differs, as tables
    sections.py     where the servers are in a file, and whose they are
    translation.py  one server: a host's words -> ours, step by step
"""

from .sections import understand

__all__ = ["understand"]
