"""A server as its file states it; and our own format, which says where a file has its servers."""

from dataclasses import dataclass, field
from pathlib import Path

from .checking import SCHEMA, check, unknown_to_us
from .reading import ConfigError, parse
from .values import Values

OF_SERVERS = {**SCHEMA["properties"]["mcpServers"], "additionalProperties": {"type": "object"}}


@dataclass
class Stated:
    """One server as its file states it, in the words of our schema."""

    file: Path
    config: dict        # all that the file says
    where: str          # of it, as "mcpServers.github"
    name: str
    keys: dict          # ours
    called: dict = field(default_factory=dict)  # one of ours, as "env" → what the file calls it

    def place(self, path=""):
        """Where this is in the file: "env.KEY" → "x.json: mcp.github.environment.KEY"."""
        for ours in sorted(self.called, key=len, reverse=True):
            if path == ours or path.startswith(ours + "."):
                path = self.called[ours] + path[len(ours):]
                break
        return f"{self.file}: {self.where}" + (f".{path}" if path else "")


class OurFormat:
    """How a config file is written: as for Claude Desktop. The room `dialects` has a subclass that
    knows the files of other hosts too."""

    knows_others = False
    values = Values     # values(server, files) → the Values of a Stated server

    def parser(self, path):
        """parse(text) → the value of such a file. It may raise ConfigError."""
        return parse

    def servers(self, path, config):
        """The servers in a file, as Stated, and the names of those that are disabled.

        Raises ConfigError.
        """
        if "mcpServers" not in config:
            raise ConfigError(f'{path}: top level: needs the key "mcpServers"'
                              + unknown_to_us(config))
        check({"properties": {"mcpServers": OF_SERVERS}}, config, lambda key: f"{path}: {key}")
        servers = [Stated(path, config, f"mcpServers.{name}", name, keys)
                   for name, keys in config["mcpServers"].items()]
        off = {server.name for server in servers if server.keys.get("disabled") is True}
        return [server for server in servers if server.name not in off], off
