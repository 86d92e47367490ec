"""How a program that the config names is found, and what it finds around it."""

import os
import re
import shutil

from transports.fabric.peers import StartFailed

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


def environment(more=()):
    """Our own environment with these variables, and without the token of our own clients."""
    found = {**os.environ, **dict(more)}
    found.pop("MCP_ROUTER_TOKEN", None)
    return found


def find(command, path):
    """The whole path of a command. Raises StartFailed, which tells what to install for it."""
    if found := shutil.which(command, path=path):
        return found
    name = re.split(r"[/\\]", command)[-1]
    program = _COMES_WITH.get(re.sub(r"\.(exe|cmd)$", "", name.lower()))
    raise StartFailed(f'the command "{command}" was not found or may not be run; '
                      + (f"it comes with {program}; " if program else "")
                      + (f"searched PATH={path}" if os.path.basename(command) == command
                         else "it is a path, so PATH was not searched"))
