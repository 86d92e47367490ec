"""The room that adds advice to what --check says: what works here, and may not work elsewhere.
It knows secrets that stand in the config in clear, too, which are hidden in the log.

Comes in by router.py. May import: transports.fabric, upstreams.config, upstreams.server.

In reading order:
    clear.py     what is a secret, by its name or its beginning
    advice.py    secrets in clear, names that hosts refuse or that occur twice
    schemas.py   tool schemas that some hosts refuse
"""

from .advice import advise
from .clear import in_clear

__all__ = ["advise", "in_clear"]
