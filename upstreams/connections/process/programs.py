"""What to install for a command that was not found: most servers need one of a few programs."""

import re

_NODE, _PYTHON = "Node.js (https://nodejs.org)", "Python (https://python.org)"
_UV, _BUN = "uv (https://docs.astral.sh/uv)", "Bun (https://bun.sh)"
_COMES_WITH = {
    "node": _NODE, "npm": _NODE, "npx": _NODE, "python": _PYTHON, "python3": _PYTHON,
    "py": _PYTHON, "uv": _UV, "uvx": _UV, "pipx": "pipx (https://pipx.pypa.io)",
    "bun": _BUN, "bunx": _BUN, "deno": "Deno (https://deno.com)",
    "docker": "Docker (https://docs.docker.com/get-docker)",
    "go": "Go (https://go.dev)", "java": "a JDK (https://adoptium.net)",
    "dotnet": ".NET (https://dotnet.microsoft.com)", "dnx": ".NET (https://dotnet.microsoft.com)",
}


def to_install(command):
    """What this command comes with, or None if that is not known.

    >>> to_install("/usr/local/bin/npx")
    'Node.js (https://nodejs.org)'
    """
    name = re.split(r"[/\\]", command)[-1].lower()
    return _COMES_WITH.get(re.sub(r"\.(exe|cmd)$", "", name))
