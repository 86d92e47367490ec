"""The room that adds advice to what --check says: what works here, and may not work elsewhere.

Comes in by router.py. May import: transports.fabric, upstreams.config, upstreams.server.

In reading order:
    advice.py    secrets in clear, names that hosts refuse or that occur twice
    schemas.py   tool schemas that some hosts refuse
"""

from .advice import advise

__all__ = ["advise"]
