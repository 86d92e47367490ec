"""Packages that are known to keep something of their client in the process: stateful.json.

Their processes are not shared unless the config says so, even if their SDK made them speak a
stateless revision.
"""

import json
import re
from pathlib import Path

_KEPT = {name: what for what, names in json.loads(
    Path(__file__).with_name("stateful.json").read_text("utf-8")).items() for name in names}
# Known to list other tools to a client that can be asked
LIST_BY_CAPABILITIES = {"@modelcontextprotocol/server-everything"}


def words_of(command, args):
    """What a command names, as a package is named: without a path, a URL and a version."""
    program = re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", command)[-1])
    return [re.sub(r"(?<=.)(@|==|>=|<=|~=|\[|:).*", "", word.lower()) for word in (program, *(
        word.rstrip("/").removesuffix(".git").rpartition("/")[2]
        if word.startswith(("git+", "http")) else word for word in args))]


def kept_by(words):
    """What the package among these words keeps; None if none is known.

    >>> kept_by(words_of("npx", ["-y", "@playwright/mcp@latest", "--headless"]))
    'a browser'
    >>> kept_by(words_of("uvx", ["--from", "git+https://github.com/oraios/serena", "x"]))
    'a project'
    """
    return next((_KEPT[word] for word in words if word in _KEPT), None)
