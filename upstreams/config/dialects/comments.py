"""JSON as VS Code writes it: comments, and a comma after the last item, are allowed."""

import re

from upstreams.config import reading

# What has no end stays as it is, up to where it was to come: looking for an end from each quote in
# it would cost quadratic time. No group is repeated for each character: `re` keeps something for
# each time, and 1 MB took 40 times as long.
_STRING = r'("[^"\\\n]*(?:\\.[^"\\\n]*)*"?|/\*(?!.*?\*/).*)'


def parse(text):
    """The value of such a text. Raises ConfigError."""
    return reading.parse(_without_comments(text))


def _without_comments(text):
    """Comments and last commas become blanks, so that an error names the right line and column.

    >>> _without_comments('{"a": "//", /* ? */ "b": [1,],}')
    '{"a": "//",         "b": [1 ] }'
    """
    for pattern in (r"//[^\n]*|/\*.*?\*/", r",(?=\s*[}\]])"):
        text = re.sub(f"{_STRING}|{pattern}", lambda match: match[1] or re.sub(
            r"[^\n]", " ", match[0]), text, flags=re.DOTALL)
    return text
