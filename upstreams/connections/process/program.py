"""Which program a server's command is: where it is, and how it is started."""

import os
import re
import shutil

from transports.fabric.circle import circle
from transports.fabric.peers import StartFailed

from .guardian import WINDOWS

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


def environment(entry):
    """The variables of a program that this server needs."""
    # Windows takes Path and PATH for the same, and os.environ has it in capitals.
    its_own = {name.upper() if WINDOWS else name: value for name, value in entry.env}
    variables = {**os.environ, **circle.for_children, **its_own}
    variables.pop("MCP_ROUTER_TOKEN", None)     # that of our own clients
    return variables


def command_line(command, args):
    """What Popen takes to run this command, found already, with these arguments. Windows runs
    batch files, as npx.cmd, by cmd.exe, to which & and % in an argument mean something; Popen
    quotes for all other programs only. Raises ValueError."""
    if not (WINDOWS and command.lower().endswith((".bat", ".cmd"))):
        return [command, *args]
    words = [command, *args]
    if re.search(r"[\r\n\0]", "".join(words)):
        raise ValueError("an argument of a batch file cannot have a line break")
    return 'cmd.exe /d /e:on /v:off /c "%s"' % " ".join(map(_quoted_for_cmd, words))


def _quoted_for_cmd(word):
    r"""cmd.exe reads it, and then the program; not tried, see the README.

    >>> print(_quoted_for_cmd('say "50 %" & c:\\'))
    "say ""50 %%cd:~,%"" & c:\\"
    """
    word = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + 2 * found[2], word)
    return '"%s"' % word.replace("%", "%%cd:~,%")   # an empty piece of the variable %cd%, then %
