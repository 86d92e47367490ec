"""The room for the live page: which servers and sessions there are, and each message as it passes.

Comes in by router.py, as a set of views. May import: transports.fabric, transports.http and
transports.tap.

In reading order:
    live_page.py    the views
    acts.py         those that a person does something with
    server_log.py   what the log says of each server
    live.html       the page, with live.css
    live.js         its beginning; each other .js file is one part of it
    messages/       what has passed: calls and messages, in lists and one by one
    panel/          beside it: a server from inside, and trying what it offers
    take_away/      copying, saving and opening what has passed
"""


import functools


def live_page(router):
    """Keeps the log of the servers from now on; returns what makes the page."""
    from .server_log import ServerLog
    return functools.partial(_made, router, ServerLog(router.names))


def _made(*arguments):
    from .live_page import LivePage  # only now: Flask takes 0.1 s, and stdio needs none
    return LivePage(*arguments)
