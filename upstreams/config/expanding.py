"""The values of one server as its config means them: variables, paths, files of variables."""

import os
import re
from urllib.parse import parse_qsl

from .clear import secrets_in_clear
from .reading import ConfigError
from .variables import Variables, read_env_file, workspace

SHORTEST_SECRET = 6  # shorter values ("1", "true", "debug") would make the log unreadable


class Expanded:
    """What a Stated server says, expanded. All methods but `secrets` may raise ConfigError, for a
    variable that is not set or a file that cannot be read."""

    def __init__(self, server, prompts, files):
        """`prompts` and `files`: see Variables."""
        self._server, self._keys = server, server.keys
        self._folder = workspace(server.file)
        self._variables = Variables(self._folder, prompts, files)

    def text(self, key, text):
        return self._variables.expand(self._server.place(key), text)

    def path(self, key, text):
        """Relative ones begin at the folder that the config is for; None stays None."""
        return text and str(self._folder / os.path.expanduser(self.text(key, text)))

    def words(self, key):
        """A list of texts."""
        return tuple(self.text(f"{key}.{i}", text)
                     for i, text in enumerate(self._keys.get(key, ())))

    def program(self, key, text):
        """A path, or a name that is looked up in PATH; None stays None."""
        name = text and os.path.expanduser(self.text(key, text))
        return self.path(key, text) if name and os.path.basename(name) != name else name

    def pairs(self, key):
        """{name: value} of `env` or `headers`, whose values are secrets."""
        found = {name: self._variables.expand_bare(self._server.place(f"{key}.{name}"), text)
                 for name, text in self._keys.get(key, {}).items()}
        for value in found.values():
            self._variables.keep(value)
        return found

    def env(self):
        """The variables of `envFile`, and over them those of `env`."""
        if "envFile" not in self._keys:
            return self.pairs("env")
        path = self.path("envFile", self._keys["envFile"])
        self._variables.reads(path)
        found = read_env_file(self._server.place("envFile"), path)
        for value in found.values():
            self._variables.keep(value)
        return {**found, **self.pairs("env")}

    def headers(self):
        found = self.pairs("headers")
        for value in found.values():
            self._variables.keep(value.rpartition(" ")[2])      # of "Bearer …"
        return found

    def url(self):
        """The URL, or None; what it says in its query is a secret too."""
        url = self._keys.get("url")
        if url is None:
            return None
        url = self.text("url", url)
        if not re.match("https?://[^/]", url, re.IGNORECASE):
            raise ConfigError(f'{self._server.place("url")}: must begin with http:// or https://')
        for _, value in parse_qsl(url.partition("?")[2]):
            self._variables.keep(value)
        return url

    def clear(self):
        """Where secrets stand in the file as they are."""
        found = secrets_in_clear(self._keys)
        for value in found.values():
            self._variables.keep(value)
        return list(found)

    def secrets(self):
        """All secrets that the other methods met, the longest first."""
        return tuple(sorted(_with_lines(self._variables.secrets), key=len, reverse=True))


def _with_lines(secrets):
    r"""The secrets that are long enough, and each line of them, since a server may print a key
    line by line. Where a key must stand in one line, its line breaks are often written as \n."""
    parts = {part.strip() for value in secrets for part in re.split(r"[\r\n]|\\n", value)}
    return {value for value in secrets | parts if len(value) >= SHORTEST_SECRET}
