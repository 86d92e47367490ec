"""Names: of a server, which becomes a part of paths and of tool names; of groups."""

import hashlib
import re
import unicodedata

from .reading import ConfigError

SEPARATOR = "__"        # between a prefix and a name
LONGEST_PREFIX = 40     # longer ones would leave no room for the tool's own name

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def segment(name):
    """A name that can be part of a path, as close to this one as possible.

    >>> segment("Framelink MCP for Figma"), segment("DuckDB (read-only)"), segment("a.b")
    ('Framelink-MCP-for-Figma', 'DuckDB-read-only', 'a.b')
    >>> segment("github.com/upstash/context7-mcp"), segment("Süd"), segment("天气")
    ('github.com-upstash-context7-mcp', 'Sud', 'server-4d947325')
    """
    if _SEGMENT.fullmatch(name):
        return name
    # One character after the other: the order of their marks, which costs quadratic time, is lost.
    parts = (unicodedata.normalize("NFKD", character) for character in name)
    ascii_only = "".join(parts).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("-.") or f"server-{_hash(name)}"


def prefix(name):
    """The prefix of a server with this name: hosts hand tool names to model APIs, which allow no
    more than letters, digits, - and _.

    >>> prefix("github.com-upstash-context7-mcp"), prefix("x" * 41)
    ('github-com-upstash-context7-mcp', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-3164596d')
    """
    made = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return made if len(made) <= LONGEST_PREFIX else f"{made[:31]}-{_hash(name)}"


def _hash(name):
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def groups_of(stated, servers, off):
    """{name of a group: the names of its servers here}, for the (path, name, members) of each.
    `servers`: by their names here; `off`: names of servers that are not started."""
    found, places = {}, {}
    for path, group, members in stated:
        place = f"{path}: groups.{group}"
        if places.setdefault(group, place) is not place:
            raise ConfigError(f"{place}: is {places[group]} too: rename or remove one of the two")
        if not _SEGMENT.fullmatch(group):
            raise ConfigError(f'{place}: is part of a path: it may have letters, digits, "-", "_" '
                              'and ".", the first one not "."')
        if group in servers:
            raise ConfigError(f"{place}: a server has this name: give the group another")
        found[group] = [name for name in dict.fromkeys(map(segment, members)) if name in servers]
        for name in members:
            if segment(name) not in {*servers, *map(segment, off)}:
                known = ", ".join(server.name for server in servers.values())
                raise ConfigError(f'{place}: there is no server "{name}"; there are: {known}')
    return found
