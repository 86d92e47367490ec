"""The values of one server as its config means them, and which of them are secrets.

    ${NAME}             a variable of the server's own `env`, or else of the router's environment;
                        it must be set
    ${NAME:-default}    or else this, in which there may be variables again

What else `${…}` may be, the room `dialects` knows."""

import os
import re
from urllib.parse import parse_qsl

from .checking import DEFAULTS
from .reading import TAKEN_OUT

DEEPEST = 20    # defaults within defaults; variables of `env` that name each other
LONGEST = 100_000   # characters of a text with variables
# Variables that are no secrets: blanking them would make the log unreadable
WELL_KNOWN = {"HOME", "USER", "LOGNAME", "USERNAME", "USERPROFILE", "PATH", "PWD", "SHELL", "LANG",
              "HOSTNAME", "TMPDIR", "TEMP", "APPDATA", "LOCALAPPDATA"}
EXPANDED = ("command", "args", "cwd", "url", "headers", "headersCommand", "oauth", "tls")
PATHS = {"envFile", "cwd", "tls"}

NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_BRACE = re.compile(r"\$?\{|\}")
_FORM_OF_A_HOST = re.compile("/|[A-Za-z]+:.+", re.DOTALL)   # of ${/}, ${env:NAME}, …

SHORTEST = 6    # "1", "true" and "oauth" are no secrets; hiding them would make the log unreadable
# $NAME or $env:NAME, as some hosts have it
BARE = re.compile(r"((?:Bearer |token )?)\$(?:env:)?([A-Z_][A-Z0-9_]+)")
_SCHEME = re.compile("(?:bearer|basic|token) +", re.IGNORECASE)    # of `Authorization`


class Values:
    """What a Stated server says, expanded, and which of it is secret. A variable that is not set
    is refused, see Stated; `where` is its place, as "env.KEY"."""

    def __init__(self, server, _files):
        """`_files`: see Config, which gets those that a subclass reads."""
        self.server, self.folder = server, server.file.resolve().parent
        self._secrets = set()
        self._stated = server.keys.get("env", {})
        self._of_env = {}       # those variables, as far as they are known
        self._of_file = {}      # more of them, from an `envFile`, see the room `dialects`
        self._open = []         # those of `env` that are being made, each within the one before

    def refuse(self, where, text):
        """Returns what takes the place of the value."""
        self.server.refuse(where, text)
        return ""

    def keys(self, check_request):
        """Its keys, with defaults, without variables and relative paths. See OurFormat."""
        keys = {**DEFAULTS, **self.server.keys}
        keys["env"] = {**self._of_file, **{name: self._own(name) for name in keys["env"]}}
        right = len(self.server.problems)
        keys |= {key: self._expanded(key, keys[key]) for key in EXPANDED if key in keys}
        keys["headers"] = {name: value for name, value in keys["headers"].items()
                           if value.strip() and not _SCHEME.fullmatch(value)}
        if "url" in keys:
            if not self.server.problems[right:]:
                for where, problem in check_request(keys["url"], keys["headers"]):
                    self.refuse(where, problem)
            self.keep(*(value for _, value in parse_qsl(keys["url"].partition("?")[2])))
        return keys

    def _own(self, name):
        """A variable of the server's own; None without one, or while that is being made, so that
        {"PATH": "${PATH}:/x"} adds to the router's."""
        if name in self._open:
            return None
        if name in self._stated and name not in self._of_env:
            if len(self._open) > DEEPEST:
                return self.refuse(f"env.{name}", f"more than {DEEPEST} variables name each other")
            self._open.append(name)
            self._of_env[name] = self._expanded(f"env.{name}", self._stated[name])
            self._open.pop()
        return self._of_env.get(name, self._of_file.get(name))

    def _expanded(self, key, value):
        """`key`: where the value is in the server, as "env.KEY"."""
        if isinstance(value, dict):
            return {name: self._expanded(f"{key}.{name}", part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._expanded(f"{key}.{i}", part) for i, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        section = key.partition(".")[0]
        secret = section in ("env", "headers") or key == "oauth.clientSecret"
        expand = self.expand_bare if secret and BARE.fullmatch(value) else self.expand
        text = expand(key, value)
        if secret and key.partition(".")[2] not in WELL_KNOWN:
            self.keep(text, _SCHEME.sub("", text))
        if section == "headers":
            self.keep(text.rpartition(" ")[2])      # of "Bearer …"
        # A command that is a mere name is looked up in PATH
        if section in PATHS or section == "command" and os.path.basename(text) != text:
            return str(self.folder / os.path.expanduser(text))
        return text

    def secrets(self):
        r"""All secrets that were met, the longest first. Each line of one is a secret too, as a
        server may print a key line by line. Where a key must stand in one line, its line breaks
        are often written as \n."""
        found = self._secrets | {part.strip() for value in self._secrets
                                 for part in re.split(r"[\r\n]|\\n", value)}
        return tuple(sorted((value for value in found if len(value) >= SHORTEST),
                            key=lambda value: (-len(value), value)))

    def keep(self, *values):
        """These are secrets, apart from paths of something that exists."""
        self._secrets.update(value for value in values
                             if not (os.path.isabs(value) and os.path.exists(value)))

    def expand(self, where, text, depth=0):
        """The text with the values of its variables."""
        if depth > DEEPEST:
            return self.refuse(where, f"has more than {DEEPEST} defaults within defaults")
        done, open_braces, begin, after, size = [], 0, 0, 0, len(text)
        for brace in _BRACE.finditer(text):
            if open_braces:
                open_braces += -1 if brace[0] == "}" else 1
                if not open_braces:
                    done += [text[after:begin - 2],
                             self.variable(where, text[begin:brace.start()], depth)]
                    after = brace.end()
                    if (size := size + len(done[-1])) > LONGEST:    # they may double each other
                        return self.refuse(where, f"is longer than {LONGEST} characters")
            elif brace[0] == "${":
                open_braces, begin = 1, brace.end()
        return "".join(done) + text[after:]

    def variable(self, where, inside, depth=0):
        """What `${inside}` stands for: it is left as it is if there is no name in it."""
        name = NAME.fullmatch(inside)
        if not name and _FORM_OF_A_HOST.fullmatch(inside):
            return self.refuse(where, f"${{{inside}}} {TAKEN_OUT}: write ${{NAME}}")
        if not name:
            return f"${{{inside}}}"
        value = self.value_of(name[1])
        if value is None and name[2] is None:
            circle = "made of itself here, and elsewhere " if name[1] in self._open[:-1] else ""
            return self.refuse(where, f"the variable {name[1]} is {circle}not set: set it, or "
                                      f"write ${{{name[1]}:-a default}}")
        return self.expand(where, name[2], depth + 1) if value is None else value

    def expand_bare(self, where, text):
        """What $NAME stands for, as a whole value of `env` or `headers`."""
        return self.refuse(where, f"{text} {TAKEN_OUT}: write ${{NAME}}")

    def value_of(self, name):
        """The value of a variable; None if it is not set."""
        own = self._own(name)
        value = os.environ.get(name) if own is None else own
        if value and name not in WELL_KNOWN:
            self.keep(value)
        return value
