"""Packages that are known to keep something of their client in the process: stateful.json.

Their processes are not shared unless the config says so, even if their SDK made them speak a
stateless revision.
"""

import json
import re
from pathlib import Path

_NAMES = {name: what for what, names in json.loads(
    Path(__file__).with_name("stateful.json").read_text("utf-8")).items() for name in names}


LIST_BY_CAPABILITIES = {"server-everything", "mcp-server-everything"}


def lists_by_capabilities(args):
    """Whether this package is known to list other tools to a client that can be asked.

    >>> lists_by_capabilities(["-y", "@modelcontextprotocol/server-everything@2026.1"])
    True
    """
    return any(_without_version(part) in LIST_BY_CAPABILITIES
               for word in args for part in re.split(r"[/\\]", word))


def _without_version(word):
    return re.sub(r"(?<=.)(@|==|>=|<=|~=|\[|:).*", "", word.lower())


def kept_by(command, args):
    """What such a package keeps, as "a browser"; None if none is started by this command.

    >>> kept_by("npx", ["-y", "@playwright/mcp@latest", "--headless"])
    'a browser'
    >>> kept_by("uvx", ["--from", "git+https://github.com/oraios/serena", "serena-mcp-server"])
    'a project'
    """
    program = re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", command)[-1])
    for word in (program, *args):
        if word.startswith(("git+", "http")):
            word = word.rstrip("/").removesuffix(".git").rpartition("/")[2]
        name = _without_version(word)
        if name in _NAMES:
            return _NAMES[name]
    return None
