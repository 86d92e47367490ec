"""The room for the config files of other hosts. README.md here lists them.

Comes in by router.py, as an OurFormat that knows more. May import: transports.fabric,
upstreams.config.

In reading order:
    hosts.py        which hosts there are, and all that each writes otherwise
    files.py        where the servers are in a file, and whose they are
    translation.py  one server: a host's words → ours, step by step
    values.py       the variables of hosts
    env_file.py     variables in a file
    comments.py     comments in a file
"""

from .files import Dialects

__all__ = ["Dialects"]
