"""The log, and text from outside, made fit for it, for a table or for an error message."""

import json
import logging
import math
import threading

log = logging.getLogger("router")   # of the whole program, see transports/program/log.py
MOST_LATE = 30      # texts


class Hidden:
    """What must not be shown by log, table, tap: the one instance of this is `hidden`."""

    texts = ()      # the longest first; replaced by one assignment

    def __init__(self):
        self._lock = threading.Lock()
        self._late = []     # protected by _lock, as a change of `texts`: what was replaced last

    def add(self, secrets, instead_of=()):
        """Hide these, in each form that they are written in, in place of others, which may be
        repeated for a while: they go when MOST_LATE more have been replaced."""
        new, old = ({form for secret in each for form in (
            secret, repr(secret)[1:-1], repr(secret + "'\"")[1:-4],     # which quotes are escaped
            json.dumps(secret)[1:-1], printable(secret))}   # in a repr depends on the text around
            for each in (secrets, instead_of))
        with self._lock:
            late = [text for text in dict.fromkeys([*self._late, *old]) if text not in new]
            gone, self._late = late[:-MOST_LATE], late[-MOST_LATE:]
            self.texts = tuple(sorted({*self.texts}.difference(gone) | new, key=len, reverse=True))


hidden = Hidden()


def is_told(count):
    """Whether this is the 1st, 10th, 100th, … of many equal events, which alone are in the log."""
    return str(count).strip("0") == "1"


def printable(text):
    """The text with every control character and line break escaped."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def redacted(secrets, text, most=math.inf):
    """So much of the text, without secrets, of which longer ones come first, or part of one."""
    end = ""
    if len(text) > most:
        text, end = text[:most], "…"
        begun = max((length for secret in secrets
                     for length in range(1, min(len(secret), len(text)) + 1)
                     if text.endswith(secret[:length])), default=0)
        text = text[:most - begun]
    for secret in secrets:
        text = text.replace(secret, "***")
    return text + end


def outline(value, depth=3):
    """As much of a JSON value from outside as a person wants to see, and may."""
    if isinstance(value, str):
        return redacted(hidden.texts, value, 200)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return "…" if value else value
    if isinstance(value, list):
        return [outline(each, depth - 1) for each in value[:30]]
    return {outline(key): outline(value[key], depth - 1) for key in list(value)[:30]}
