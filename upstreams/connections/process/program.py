"""Which program a server's command is: where it is, and how it is started."""

import os
import re
import shutil

from transports.fabric.circle import circle
from transports.fabric.peers import StartFailed

from .guardian import WINDOWS

_OF_WINDOWS = re.compile(r"(?:.*/)?[A-Za-z]:[\\/]")
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


def _name(command):
    """The name of a program: without its path, and what Windows puts behind it."""
    return re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", command)[-1].lower())


def refuse_windows(entry):
    """Raise StartFailed for a path of Windows, which would lead nowhere here. Arguments may be for
    another machine, if we do not know the program."""
    known = _name(entry.command) in _COMES_WITH.keys() - {"docker"}
    for path in entry.command, entry.cwd, *(entry.args if known else ()):
        if not WINDOWS and (found := _OF_WINDOWS.match(path)):
            raise StartFailed(f'"{path[found.end() - 3:]}" is a path of Windows, and this system '
                              "is another: write where that is here")


def find(command, path):
    """The whole path of a command. Raises StartFailed, which tells what to install for it."""
    if found := shutil.which(command, path=path):
        return found
    program = _COMES_WITH.get(_name(command))
    raise StartFailed(f'the command "{command}" was not found or may not be run; '
                      + (f"it comes with {program}; " if program else "")
                      + ("it is a program of Windows, and this system is another: write what it "
                         "starts as the command; " if not WINDOWS
                         and _name(command) in _PROGRAMS_OF_WINDOWS else "")
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
