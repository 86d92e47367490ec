"""The variables of hosts, beside our own. Every file may use all of them:

    ${env:NAME}                     as ${NAME}
    ${env:NAME | value:default}     the first of these that is set and not empty
    ${input:some-id}                what VS Code asks its user for: the variable MCP_INPUT_SOME_ID
    ${file:path}                    what is in that file
    ${userHome} ${workspaceFolder} ${workspaceFolderBasename} ${pathSeparator} ${/}
    $NAME $env:NAME                 only as a whole value, or after Bearer; $NAME if it is set

`${…}` around anything else is left as it is."""

import os
import re
from pathlib import Path

from transports.fabric.messages import dig
from transports.fabric.text import log
from upstreams.config.reading import ConfigError, stamp_of, text_of
from upstreams.config.values import BARE, NAME, WELL_KNOWN, Values

from .env_file import parse_env_file
from .hosts import FOLDERS

_SOURCE = re.compile(r"[a-z]+:.+", re.DOTALL)


class HostValues(Values):
    """Values, with the variables of hosts."""

    def __init__(self, server, files):
        super().__init__(server, files)
        self._files = files
        for name in FOLDERS:    # a config there is for the folder above
            if self.folder.match(name):
                self.folder = self.folder.parents[name.count("/")]
                break
        folder = str(self.folder)
        self._places = {"userHome": os.path.expanduser("~"), "workspaceFolder": folder,
                        "workspaceRoot": folder, "workspaceFolderBasename": self.folder.name,
                        "pathSeparator": os.sep, "/": os.sep}

    def keys(self, check_request):
        """As of Values; `env` has the variables of `envFile` as well."""
        if "envFile" in self.server.keys:
            self._of_file = self._read_env(self._expanded("envFile", self.server.keys["envFile"]))
        return super().keys(check_request)

    def read(self, where, path):
        """The text of a file. A change of this file is a change of the config."""
        self._files[Path(path)] = stamp_of(path)
        try:
            return text_of(path)
        except (OSError, ValueError) as problem:
            return self.refuse(where, f"the file {path} cannot be read: "
                                      f"{getattr(problem, 'strerror', None) or problem}")

    def _read_env(self, path):
        """The variables of the `envFile`."""
        try:
            found = parse_env_file(path, self.read("envFile", path))
        except ConfigError as problem:
            self.refuse("envFile", str(problem))
            return {}
        self.keep(*(value for name, value in found.items() if name not in WELL_KNOWN))
        return found

    def variable(self, where, inside, depth=0):
        name = inside.partition(":")[0]
        if name in self._places:                # also ${workspaceFolder:name}
            return self._places[name]
        if NAME.fullmatch(inside.removeprefix("env:")):
            return super().variable(where, inside.removeprefix("env:"), depth)
        if _SOURCE.fullmatch(inside):
            return self._first(where, map(str.strip, inside.split("|")))
        return f"${{{inside}}}"

    def _first(self, where, sources):
        """The first of several sources that has a value."""
        tried = []
        for kind, _, name in (source.partition(":") for source in sources):
            tried.append(self._from(where, kind, name.strip()))
            if tried[-1][0]:
                return tried[-1][0]
        problem = tried[0][1]
        return self.refuse(where, problem) if problem else ""

    def _from(self, where, kind, name):
        """(the value, or what is wrong if there is none and that has not been said)"""
        if kind == "value":
            return name, "there is no value in it"
        if kind == "env":
            return self.value_of(name), f"the variable {name} is not set"
        if kind == "input":
            variable = "MCP_INPUT_" + re.sub(r"\W", "_", name).upper()
            return self.value_of(variable), (
                f"${{input:{name}}} is what VS Code asks you for{self._prompt(name)}: set the "
                f"variable {variable}")
        if kind == "file":
            known = len(self.server.problems)
            value = self.read(where, self.folder / os.path.expanduser(name)).strip()
            self.keep(value)
            return value, "" if self.server.problems[known:] else f"the file {name} is empty"
        return None, (f"${{{kind}:…}} is something that only the editor or a secret manager "
                      "knows: put the value into a variable, and write ${NAME}")

    def expand_bare(self, where, text):
        """As Gemini CLI and Copilot CLI have it; $env:NAME, of mcporter, can be nothing else."""
        before, name = BARE.fullmatch(text).groups()
        value = self.variable(where, name) if "$env:" in text else self.value_of(name)
        if value is None:
            log.warning("%s: no variable %s is set; this value is passed as it is",
                        self.server.place(where), name)
        return text if value is None else before + value

    def _prompt(self, name):
        """What VS Code asks its user for."""
        inputs = self.server.config.get("inputs") or dig(self.server.config, "mcp", "inputs")
        texts = [dig(asked, "description") for asked in inputs if dig(asked, "id") == name] \
            if isinstance(inputs, list) else []
        return f' ("{texts[-1]}")' if texts and isinstance(texts[-1], str) else ""
