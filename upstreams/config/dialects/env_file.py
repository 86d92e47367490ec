"""An `envFile`, as VS Code and Cursor have it: NAME=value lines."""

import re

from upstreams.config.reading import ConfigError

_ASSIGNMENT = re.compile(
    r"""[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*
        (?: '([^']*)'[ \t]*(?:\#[^\n]*)? | "((?:\\.|[^"\\])*)"[ \t]*(?:\#[^\n]*)? | ([^\n]*) )
        (?:\n|\Z) | [ \t]*(?:\#[^\n]*)?(?:\n|\Z)""", re.VERBOSE | re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_env_file(place, text):
    r"""{NAME: value} of NAME=value lines, as an `envFile` has them. Raises ConfigError.

    >>> parse_env_file("x.env", "# one\n\nexport A=b # c\nB='#'\n" r'C="\"\n"')
    {'A': 'b', 'B': '#', 'C': '"\n'}
    """
    text, found, position = text.replace("\r\n", "\n"), {}, 0
    while position < len(text):
        match = _ASSIGNMENT.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ConfigError(f"{place}, line {line}: must be like NAME=value")
        name, plain, escaped, bare = match.groups()
        if escaped is not None:
            plain = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), escaped,
                           flags=re.DOTALL)
        if name:
            found[name] = re.sub(r"(^|[ \t])#.*", "", bare).strip() if plain is None else plain
        position = match.end()
    return found
