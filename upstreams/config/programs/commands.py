"""What is known of the command of a server: whether it keeps something of its client or lists by
what that can be asked, what is to be installed for it, and whether it is one of Windows."""

import os
import re

from transports.fabric.text import log

from .packages import kept_by, lists_by_capabilities, program, words_of

WINDOWS = os.name == "nt"
_OF_WINDOWS = re.compile(r"(?:.*/)?([A-Za-z]:[\\/]|\\\\[\w.-]+\\)")
_PROGRAMS_OF_WINDOWS = {"cmd", "powershell", "wsl"}
_NODE, _PYTHON = "Node.js (https://nodejs.org)", "Python (https://python.org)"
_UV, _BUN = "uv (https://docs.astral.sh/uv)", "Bun (https://bun.sh)"
_DOTNET = ".NET (https://dotnet.microsoft.com)"
_COMES_WITH = {
    "node": _NODE, "npm": _NODE, "npx": _NODE, "python": _PYTHON, "python3": _PYTHON,
    "py": _PYTHON, "uv": _UV, "uvx": _UV, "pipx": "pipx (https://pipx.pypa.io)",
    "bun": _BUN, "bunx": _BUN, "deno": "Deno (https://deno.com)",
    "docker": "Docker (https://docs.docker.com/get-docker)", "go": "Go (https://go.dev)",
    "java": "a JDK (https://adoptium.net)", "dotnet": _DOTNET, "dnx": _DOTNET,
}


def known(server, keys):
    """What is known of this Stated server, whose keys these are, expanded: values for keys that it
    does not have, and `hint`, where to get its command. What cannot run here is refused."""
    command, args = keys["command"], keys["args"]
    name = program(command).lower()
    _refuse_windows(server, name, keys)
    found = {"hint": f"it comes with {_COMES_WITH[name]}; " if name in _COMES_WITH else ""}
    if not WINDOWS and (name in _PROGRAMS_OF_WINDOWS or name not in _COMES_WITH
                        and command.lower().endswith((".bat", ".cmd", ".exe"))):
        found["hint"] = ("it is a program of Windows, and this system is another: write what it "
                         "starts as the command; ")
    if lists_by_capabilities([command, *args]):
        found["listsByCapabilities"] = True
    if keeps := kept_by(words_of(command, args)):
        found["shared"], found["idle"] = False, 0
        if server.keys.get("shared") is not True:
            log.info('server "%s" is known to keep %s of its client: each client gets a process '
                     "of its own", server.name, keeps)
    return found


def _refuse_windows(server, name, keys):
    """A path of Windows would lead nowhere here. Arguments may be for another machine, if we do
    not know the program."""
    is_known = name in _COMES_WITH.keys() - {"docker"}
    places = {"command": keys["command"], "cwd": keys["cwd"], **(
        {f"args.{i}": word for i, word in enumerate(keys["args"])} if is_known else {})}
    for place, path in places.items() if not WINDOWS else ():
        if found := _OF_WINDOWS.match(path):
            server.refuse(place, f'"{path[found.start(1):]}" is a path of Windows, and this '
                                 "system is another: write where that is here")
