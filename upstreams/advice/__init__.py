"""The room that adds advice to what --check says.

Comes in by router.py. May import: transports.fabric, upstreams.config, upstreams.server.

In reading order:
    advice.py    what works here, and may not work with every host, or is not wise
    schemas.py   tool schemas that some hosts refuse
"""

from .advice import advise

__all__ = ["advise"]
