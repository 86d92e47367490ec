"""A server as its file states it, and where a file of our own format has its servers."""

from dataclasses import dataclass, field
from pathlib import Path

from .reading import ConfigError

MOST = "Claude Desktop, as most hosts have them"


@dataclass
class Stated:
    """One server as its file states it, in the words of our schema."""

    file: Path
    where: str          # of its file, as "mcp.github"
    name: str
    host: str
    keys: dict          # ours
    called: dict = field(default_factory=dict)  # one of ours, as "env" → what the file calls it

    def place(self, path=""):
        """Where this is in the file: "env.KEY" → "x.json: mcp.github.environment.KEY"."""
        for ours in sorted(self.called, key=len, reverse=True):
            if path == ours or path.startswith(ours + "."):
                path = self.called[ours] + path[len(ours):]
                break
        return f"{self.file}: {self.where}" + (f".{path}" if path else "")


def understand(path, config):
    """What is in a config file: (its servers, the names of those that are disabled, the hosts).

    The servers are Stated. Raises ConfigError.
    """
    servers = config.get("mcpServers")
    if servers is None:
        unknown = ", ".join(f'"{key}"' for key in config if key != "$schema")
        raise ConfigError(f'{path}: top level: needs the key "mcpServers"'
                          + (f"; unknown to this router: {unknown}" if unknown else ""))
    if not isinstance(servers, dict):
        raise ConfigError(f"{path}: mcpServers: must be an object")
    if not servers:
        raise ConfigError(f"{path}: mcpServers: must name at least one server")
    found, off = [], []
    for name, keys in servers.items():
        if not isinstance(keys, dict):
            raise ConfigError(f"{path}: mcpServers.{name}: must be an object")
        if keys.get("disabled") is True:
            off.append(name)
        else:
            found.append(Stated(path, f"mcpServers.{name}", name, MOST, dict(keys)))
    return found, off, [MOST]
