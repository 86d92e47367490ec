"""The values of one server as its config means them: variables, paths, files of variables.

    ${NAME}             a variable of the router's environment; it must be set
    ${NAME:-default}    or else this, in which there may be variables again

What else `${…}` may be, the room `dialects` knows.
"""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl

from transports.fabric.messages import dig

from .checking import DEFAULTS
from .clear import BARE, SHORTEST, secrets_in_clear
from .reading import TAKEN_OUT, ConfigError, stamp_of, text_of

DEEPEST = 20    # defaults within defaults
# Variables that are no secrets: blanking them would make the log unreadable
WELL_KNOWN = {"HOME", "USER", "LOGNAME", "USERNAME", "USERPROFILE", "PATH", "PWD", "SHELL", "LANG",
              "HOSTNAME", "TMPDIR", "TEMP", "APPDATA", "LOCALAPPDATA"}

NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_BRACE = re.compile("[{}]")
_FORM_OF_A_HOST = re.compile("/|[A-Za-z]+:.+", re.DOTALL)   # of ${/}, ${env:NAME}, …


class Values:
    """What a Stated server says, expanded. A key may be one within another, as "tls.ca"; one that
    is left out is None, {} or (). Methods may raise ConfigError, for a variable that is not set or
    a file that cannot be read."""

    def __init__(self, server, files):
        """`files`: see Config, which gets those that are read."""
        self.server, self.folder = server, server.file.resolve().parent
        self._keys = {**DEFAULTS, **server.keys}
        self._files, self._secrets = files, set()

    def text(self, key):
        text = dig(self._keys, *key.split("."))
        return None if text is None else self.expand(self.server.place(key), text)

    def words(self, key):
        return tuple(self.expand(self.server.place(f"{key}.{i}"), text)
                     for i, text in enumerate(self._keys.get(key, ())))

    def path(self, key):
        """Relative ones begin at the folder that the config is for."""
        path = self.text(key)
        return None if path is None else str(self.folder / os.path.expanduser(path))

    def program(self, key):
        """A path, or a name that is looked up in PATH."""
        name = self.text(key)
        return self.path(key) if name and os.path.basename(name) != name else name

    def pairs(self, key):
        """{name: value} of `env` or `headers`, whose values are secrets."""
        found = {}
        for name, text in self._keys[key].items():
            expand = self.expand_bare if BARE.fullmatch(text) else self.expand
            found[name] = expand(self.server.place(f"{key}.{name}"), text)
            self.keep(found[name])
            if key == "headers":
                self.keep(found[name].rpartition(" ")[2])       # of "Bearer …"
        return found

    def env(self):
        """The variables of `envFile`, and over them those of `env`."""
        path, place = self.path("envFile"), self.server.place("envFile")
        found = path and parse_env_file(f"{place}: {path}", self.read(place, path)) or {}
        self.keep(*found.values())
        return found | self.pairs("env")

    def url(self):
        """What the URL says in its query is a secret too."""
        url = self.text("url")
        if url and not re.match("https?://[^/]", url, re.IGNORECASE):
            raise ConfigError(f'{self.server.place("url")}: must begin with http:// or https://')
        self.keep(*(value for _, value in parse_qsl((url or "").partition("?")[2])))
        return url

    def clear(self):
        """Where secrets stand in the file as they are."""
        found = secrets_in_clear(self.server.keys)
        self.keep(*found.values())
        return tuple(found)

    def secrets(self):
        r"""All secrets that the other methods met, the longest first; and each line of them, since
        a server may print a key line by line. Where a key must stand in one line, its line breaks
        are often written as \n."""
        found = self._secrets | {part.strip() for value in self._secrets
                                 for part in re.split(r"[\r\n]|\\n", value)}
        return tuple(sorted((value for value in found if len(value) >= SHORTEST),
                            key=lambda value: (-len(value), value)))

    def keep(self, *values):
        """These are secrets, apart from paths of something that exists."""
        self._secrets.update(value for value in values
                             if not (os.path.isabs(value) and os.path.exists(value)))

    def read(self, place, path):
        """The text of a file. A change of this file is a change of the config."""
        self._files[Path(path)] = stamp_of(path)
        try:
            return text_of(path)
        except (OSError, ValueError) as problem:
            raise ConfigError(f"{place}: the file {path} cannot be read: {problem}") from None

    # -- variables; `place` is where the text stands, for a ConfigError

    def expand(self, place, text, depth=0):
        """The text with the values of its variables."""
        if depth > DEEPEST:
            raise ConfigError(f"{place}: has more than {DEEPEST} defaults within defaults")
        done, position = [], 0
        while (start := text.find("${", position)) >= 0:
            end = _closing(text, start + 2)
            if end is None:
                break
            done += [text[position:start], self.variable(place, text[start + 2:end], depth)]
            position = end + 1
        return "".join(done) + text[position:]

    def variable(self, place, inside, depth=0):
        """What `${inside}` stands for: it is left as it is if there is no name in it."""
        name = NAME.fullmatch(inside)
        if not name and _FORM_OF_A_HOST.fullmatch(inside):
            raise ConfigError(f"{place}: ${{{inside}}} {TAKEN_OUT}: write ${{NAME}}")
        if not name:
            return f"${{{inside}}}"
        value = self.from_environment(name[1])
        if value is None and name[2] is None:
            raise ConfigError(f"{place}: the variable {name[1]} is not set: set it, or write "
                              f"${{{name[1]}:-a default}}")
        return self.expand(place, name[2], depth + 1) if value is None else value

    def expand_bare(self, place, text):
        """What $NAME stands for, as a whole value of `env` or `headers`."""
        raise ConfigError(f"{place}: {text} {TAKEN_OUT}: write ${{NAME}}")

    def from_environment(self, name):
        value = os.environ.get(name)
        if value and name not in WELL_KNOWN:
            self.keep(value)
        return value


def _closing(text, position):
    """Where the brace ends that was opened just before; None if it never does."""
    depth = 1
    for brace in _BRACE.finditer(text, position):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.start()
    return None


_ASSIGNMENT = re.compile(
    r"""[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*
        (?: '([^']*)'[ \t]*(?:\#[^\n]*)? | "((?:\\.|[^"\\])*)"[ \t]*(?:\#[^\n]*)? | ([^\n]*) )
        (?:\n|\Z) | [ \t]*(?:\#[^\n]*)?(?:\n|\Z)""", re.VERBOSE | re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_env_file(place, text):
    r"""{NAME: value} of NAME=value lines, as an `envFile` has them. Raises ConfigError.

    >>> parse_env_file("x.env", "# one\n\nexport A=b # c\nB='#'\n" r'C="\"\n"')
    {'A': 'b', 'B': '#', 'C': '"\n'}
    """
    text, found, position = text.replace("\r\n", "\n"), {}, 0
    while position < len(text):
        match = _ASSIGNMENT.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ConfigError(f"{place}, line {line}: must be like NAME=value")
        name, plain, escaped, bare = match.groups()
        if escaped is not None:
            plain = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), escaped,
                           flags=re.DOTALL)
        if name:
            found[name] = re.sub(r"(^|[ \t])#.*", "", bare).strip() if plain is None else plain
        position = match.end()
    return found
