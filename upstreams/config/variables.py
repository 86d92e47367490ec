"""What `${…}` stands for, and files of variables.

Hosts have many forms; every file may use all of them:

    ${NAME} ${env:NAME}             a variable of the router's environment; it must be set
    ${NAME:-default}                or else this, in which there may be variables again
    ${env:NAME | value:default}     the first of these that is set and not empty
    ${input:some-id}                what VS Code asks its user for: the variable MCP_INPUT_SOME_ID
    ${file:path}                    what is in that file
    ${userHome} ${workspaceFolder} ${workspaceFolderBasename} ${pathSeparator} ${/}
    $NAME                           only as a whole value, or after Bearer, and if it is set

`${…}` around anything else is left as it is.
"""

import logging
import os
import re
from pathlib import Path

from .reading import ConfigError, stamp_of

# Folders of hosts in a project: a config in one of them is for the folder above it
HOST_FOLDERS = {".vscode", ".cursor", ".roo", ".zed", ".gemini", ".qwen", ".codex", ".kilocode",
                ".warp", ".windsurf", ".claude", ".github"}
# Variables that are no secrets: blanking them would make the log unreadable
WELL_KNOWN = {"HOME", "USER", "LOGNAME", "USERNAME", "USERPROFILE", "PATH", "PWD", "SHELL", "LANG",
              "HOSTNAME", "TMPDIR", "TEMP", "APPDATA", "LOCALAPPDATA"}

log = logging.getLogger("router")

_NAME = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SOURCE = re.compile(r"([a-z]+):(.+)", re.DOTALL)
BARE = re.compile(r"((?:Bearer |token )?)\$([A-Z_][A-Z0-9_]+)")


def workspace(file):
    """The folder that a config file is for, where its relative paths begin."""
    folder = file.resolve().parent
    return folder.parent if folder.name in HOST_FOLDERS else folder


class Variables:
    """The variables of one server; remembers which values were secret."""

    def __init__(self, folder, prompts, files):
        """`prompts`: {id of an input: what VS Code asks for}; `files`: see Config, which gets
        those that are read."""
        self._folder, self._prompts, self._files = folder, prompts, files
        self._places = {"userHome": os.path.expanduser("~"), "workspaceFolder": str(folder),
                        "workspaceRoot": str(folder), "workspaceFolderBasename": folder.name,
                        "pathSeparator": os.sep, "/": os.sep}
        self.secrets = set()

    def expand(self, place, text):
        """The text with the values. Raises ConfigError, which begins with the place."""
        done, position = [], 0
        while (start := text.find("${", position)) >= 0:
            end = _closing(text, start + 2)
            if end is None:
                break
            done += [text[position:start], self._value(place, text[start + 2:end])]
            position = end + 1
        return "".join(done) + text[position:]

    def expand_bare(self, place, text):
        """The same; and $NAME, as Gemini CLI and Copilot CLI have it in `env` and headers."""
        bare = BARE.fullmatch(text)
        if bare and bare[2] in os.environ:
            return bare[1] + self._from_environment(bare[2])
        if bare:
            log.warning("%s: no variable %s is set; this value is passed as it is", place, bare[2])
        return self.expand(place, text)

    def _value(self, place, inside):
        if inside.split(":", 1)[0] in self._places:     # also ${workspaceFolder:name}
            return self._places[inside.split(":", 1)[0]]
        name = _NAME.fullmatch(inside)
        if name and name[1] in os.environ:
            return self._from_environment(name[1])
        if name and name[2] is not None:
            return self.expand(place, name[2])
        if name:
            raise ConfigError(f"{place}: the variable {name[1]} is not set: set it, or write "
                              f"${{{name[1]}:-a default}}")
        if _SOURCE.fullmatch(inside):
            return self._first(place, inside)
        return f"${{{inside}}}"

    def _first(self, place, inside):
        """The first of several sources, as in "env:NAME | value:default"."""
        missing = None
        for one in re.split(r"\s*\|\s*", inside):
            source, _, name = one.partition(":")
            value, missing = self._from(place, source, name.strip(), missing)
            if value:
                return value
        raise ConfigError(f"{place}: {missing}")

    def _from(self, place, source, name, missing):
        """(the value, or None; what was missing first)"""
        if source == "value":
            return name, missing or "there is no value in it"
        if source == "env":
            missing = missing or f"the variable {name} is not set"
            return self._from_environment(name), missing
        if source == "input":
            variable = "MCP_INPUT_" + re.sub(r"\W", "_", name).upper()
            asked = f' ("{self._prompts[name]}")' if name in self._prompts else ""
            return self._from_environment(variable), missing or (
                f"${{input:{name}}} is what VS Code asks you for{asked}: set the variable "
                f"{variable}")
        if source == "file":
            return self._from_file(place, name), missing or f"the file {name} is empty"
        raise ConfigError(f"{place}: ${{{source}:…}} is something that only the editor or a "
                          "secret manager knows: put the value into a variable, and write ${NAME}")

    def _from_environment(self, name):
        value = os.environ.get(name)
        if value and name not in WELL_KNOWN:
            self.keep(value)
        return value

    def _from_file(self, place, name):
        path = self._folder / os.path.expanduser(name)
        self.reads(path)
        try:
            value = path.read_text("utf-8-sig").strip()
        except (OSError, ValueError) as problem:
            raise ConfigError(f"{place}: the file {name} cannot be read: {problem}") from None
        self.keep(value)
        return value

    def reads(self, path):
        """This file is about to be read: a change of it is a change of the config."""
        self._files[Path(path)] = stamp_of(path)

    def keep(self, value):
        """It is a secret, unless it is the path of something that exists."""
        if not _exists(value):
            self.secrets.add(value)


def _exists(value):
    try:
        return os.path.isabs(value) and os.path.exists(value)
    except ValueError:      # a null byte
        return False


def _closing(text, position):
    """Where the brace ends that was opened just before; None if it never does."""
    depth = 1
    for at in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return at
    return None


# -- files of variables

_ASSIGNMENT = re.compile(
    r"""[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*
        (?: '([^']*)'[ \t]*(?:\#[^\n]*)? | "((?:\\.|[^"\\])*)"[ \t]*(?:\#[^\n]*)? | ([^\n]*) )
        (?:\n|\Z)""", re.VERBOSE | re.DOTALL)
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_env_file(place, path):
    """{NAME: value} of a file with NAME=value lines, as `envFile` names one.

    Values may be in quotes; `export`, empty lines and comments are allowed. Raises ConfigError.
    """
    try:
        text = Path(path).read_text("utf-8-sig").replace("\r\n", "\n")
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{place}: the file {path} cannot be read: {problem}") from None
    found, position = {}, 0
    while position < len(text):
        match = _ASSIGNMENT.match(text, position) or _NOTHING.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ConfigError(f"{place}: {path}, line {line}: must be like NAME=value")
        if match.re is _ASSIGNMENT:
            found[match[1]] = _unquoted(match)
        position = match.end()
    return found


def _unquoted(match):
    if match[2] is not None:
        return match[2]
    if match[3] is not None:
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match[3],
                      flags=re.DOTALL)
    return re.sub(r"(^|[ \t])#.*", "", match[4]).strip()
