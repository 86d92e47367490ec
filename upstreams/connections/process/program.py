"""How a program is started: its variables, and the words by which Windows starts it."""

import os
import re

from .guardian import WINDOWS


def environment(entry):
    """The variables of a program that this server needs."""
    # Windows takes Path and PATH for the same, and os.environ has it in capitals.
    its_own = {name.upper() if WINDOWS else name: value for name, value in entry.env}
    variables = {**os.environ, **its_own}
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
    """cmd.exe reads it, and then the program; not tried, see the README."""
    word = re.sub(r'(?<!\\)(\\*)("|$)', lambda found: 2 * found[1] + 2 * found[2], word)
    return '"%s"' % word.replace("%", "%%cd:~,%")   # an empty piece of the variable %cd%, then %
