"""Packages that are known to keep something of their client in the process: stateful.json.

Their processes are not shared unless the config says so, even if their SDK made them speak a
stateless revision.
"""

import json
import re
from pathlib import Path

_NAMES = {name: what for what, names in json.loads(
    Path(__file__).with_name("stateful.json").read_text("utf-8")).items() for name in names}
_VERSION = re.compile(r"(?<=.)(@|==|>=|<=|~=|\[|:).*")


def kept_by(command, args):
    """What such a package keeps, as "a browser"; None if none is started by this command.

    >>> kept_by("npx", ["-y", "@playwright/mcp@latest", "--headless"])
    'a browser'
    >>> kept_by("uvx", ["--from", "git+https://github.com/oraios/serena", "serena-mcp-server"])
    'a project'
    >>> kept_by("/usr/bin/python3", ["-m", "mcp_server_time"]) is None
    True
    """
    for word in (re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", command)[-1]), *args):
        name = _VERSION.sub("", word.lower())
        if name in _NAMES:
            return _NAMES[name]
        if name.startswith(("git+", "http")):
            name = re.sub(r"\.git$", "", word.lower().rstrip("/")).rpartition("/")[2]
            if _VERSION.sub("", name) in _NAMES:
                return _NAMES[_VERSION.sub("", name)]
    return None
