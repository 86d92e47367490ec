"""Names: of a server, which becomes a part of paths and of tool names; of groups; and of packages
that are known to keep something of their client in the process. The processes of those are not
shared unless the config says so, even if their SDK made them speak a stateless revision.
"""

import hashlib
import json
import re
import unicodedata
from pathlib import Path

from .reading import ConfigError

SEPARATOR = "__"        # between a prefix and a name
LONGEST_PREFIX = 40     # longer ones would leave no room for the tool's own name

_KEPT = {name: what for what, names in json.loads(
    Path(__file__).with_name("stateful.json").read_text("utf-8")).items() for name in names}
# Known to list other tools to a client that can be asked
LIST_BY_CAPABILITIES = {"server-everything", "mcp-server-everything"}
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish", "cmd", "powershell", "pwsh"}
_REGISTRY = re.compile(r"(localhost|[\w-]+(?=[.:]))[\w.:-]*/(?=.*/)")     # of an image: ghcr.io/
# A program, or the package of a script, in the path where it is installed
_INSTALLED = re.compile(r".*[/\\](?:bin[/\\](?=[^/\\]+$)|node_modules[/\\])"
                        r"((?:@[^/\\]+[/\\])?[^/\\]+)")
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


def words_of(command, args):
    """What a command may name, as packages, images and programs are named: without a path, a URL,
    a registry, an option before it and a version.

    >>> words_of("/usr/bin/npx", ["--package=@playwright/mcp@latest", "playwright-mcp"])
    ['npx', '@playwright/mcp', 'playwright-mcp']
    >>> words_of("bash", ["-lc", "exec npx @playwright/mcp --headless"])[3:]
    ['npx', '@playwright/mcp', '--headless']
    >>> words_of("docker", ["run", "registry.example:5000/mcp/playwright:latest"])[2:]
    ['registry.example:5000/mcp/playwright', 'mcp/playwright']
    """
    words = [_program(command).lower(), *args]
    if not _SHELLS.isdisjoint(map(_program, words)):
        words = [part for word in words for part in re.split(r"[\s;&|()'\"]+", word) if part]
    return list(dict.fromkeys(name for word in words for name in _names(word.lower())))


def _program(path):
    return re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", path)[-1])


def _names(word):
    word = re.sub(r"^(--?[a-z-]+=)?(npm:)?", "", word)
    if word.startswith(("git+", "http")):
        word = word.rstrip("/").removesuffix(".git").rpartition("/")[2]
    elif found := _INSTALLED.match(word):
        word = found[1]
    registry = _REGISTRY.match(word)
    name = word[registry.end():] if registry else word
    name = re.sub(r"(?<=.)(@|==|>=|<=|~=|\[|:).*", "", name)
    return [registry[0] + name, name] if registry else [name]


def kept_by(words):
    """What the package among these words keeps; None if none is known.

    >>> kept_by(words_of("npx", ["-y", "@playwright/mcp@latest", "--headless"]))
    'a browser'
    >>> kept_by(words_of("uvx", ["--from", "git+https://github.com/oraios/serena", "x"]))
    'a project'
    """
    names = (name for word in words for name in (word, word.replace("_", "-")))
    return next((_KEPT[name] for name in names if name in _KEPT), None)


def lists_by_capabilities(words):
    """Whether a package among these is known to list other tools to a client that can be asked.

    >>> lists_by_capabilities(["npx", "-y", "@modelcontextprotocol/server-everything@2026.1"])
    True
    """
    return any(part in LIST_BY_CAPABILITIES
               for word in words for part in re.split(r"[/\\@:=\s]", word))
