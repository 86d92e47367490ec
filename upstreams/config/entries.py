"""Config files → a Config: one Entry for each server, checked against the schema, expanded.

Unknown keys are logged, as a config may be for other hosts as well. What else is wrong in a server
is the `problem` of its Entry, with which it fails. A ConfigError is for a config of which nobody
can say which servers it means."""

import fnmatch
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from transports.fabric.text import log, redacted

from .checking import (OF_SERVERS, SEPARATOR, Stated, check, check_prefixes, check_server,
                       groups_in, groups_of, prefix, segment, unknown_to_us)
from .reading import ConfigError, parse, read, refuse_doubled, stamp_of
from .values import Values

# The fields of an Entry of which the server itself notices nothing
SEEN = ("prefix", "allow", "deny", "words", "rules", "rename", "describe", "timeout", "start",
        "idle")


@dataclass(frozen=True)
class Entry:
    """One server, ready to start: nothing to expand. Two are equal if they mean the same."""

    name: str
    command: str = None         # of a process; None for a remote server
    args: tuple = ()
    env: tuple = ()             # pairs
    cwd: str = "."
    url: str = None             # of a remote server; None for a process
    type: str = None            # how it is reached there: http or sse; None: to be found out
    headers: tuple = ()         # pairs, for each request to it
    headers_command: tuple = ()     # a program and its arguments, whose output is more of them
    oauth: tuple | None = ()    # pairs: how to log in there; None: never
    ca: str = None              # files: certificates that we trust there
    certificate: str = None     # what shows who we are
    key: str = None             # of that certificate
    prefix: str = ""
    start_timeout: float = 60
    allow: tuple = None         # patterns of the tools that are offered; None: all
    deny: tuple = ()            # patterns of the tools that are not
    words: tuple = ("tools.allow", "tools.deny")    # what its file calls those two
    rules: tuple = None         # hide(tool), useless(tools): those of another host, see `dialects`
    rename: tuple = ()          # pairs: the server's name of a tool or prompt, and ours for it
    describe: tuple = ()        # pairs: our name of one, and its description
    timeout: float = 0          # seconds that a call may take; 0: no limit
    restart_attempts: int = 5   # failures in a row before it is left alone; 0: never again
    restart_pause: float = 1.0  # seconds, doubled with each failure
    healthy: float = 60         # seconds of running after which earlier failures do not count
    shared: bool | None = None  # None: by what the client can be asked
    lists_by_capabilities: bool = False     # whether that depends on what a client can be asked
    start: str = "now"          # or "first-use": when its first process starts
    idle: float | None = None   # minutes without use until it rests; 0: never; None: by its era
    hint: str = ""              # where to get the command, if it is not found
    protocol: str = "auto"      # or its era, if it need not be found out: legacy or modern
    clear: tuple = field(default=(), compare=False)     # where secrets stand in the file: args.1
    secrets: tuple = field(default=(), compare=False)   # not to be shown, the longest first
    problem: str = None         # why it cannot be started: then nothing else of it counts

    def hides(self, tool):
        """Whether a tool, by the server's name for it, is neither listed nor called."""
        def is_among(patterns):
            return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
        return bool(self.allow is not None and not is_among(self.allow) or is_among(self.deny)
                    or self.rules and self.rules.hide(tool))

    def runs_like(self, other):
        """Whether a process of the other entry can go on as one of this: it sees no difference."""
        return self == replace(other, **{name: getattr(self, name) for name in SEEN})

    def redact(self, text, most=4000):
        """The first `most` characters of the text without the secrets of this entry."""
        return redacted(self.secrets, text, most)


@dataclass(frozen=True)
class Config:
    """What the config files say."""

    entries: dict       # {name: Entry}, in the files' order, without those that are disabled
    groups: dict        # {name of a group: [names of its servers]}
    files: dict = field(default_factory=dict)   # {path that was read: its stamp before that}

    def only(self, group):
        """The Config of the servers in this group alone, in its order; of all if it is None."""
        if group is None:
            return self
        if group not in self.groups:
            known = f"there are: {', '.join(self.groups)}" if self.groups else \
                'the config has none; "groups" names some'
            raise ConfigError(f"--group {group}: there is no such group; {known}")
        if not self.groups[group]:
            raise ConfigError(f"--group {group}: every server of it is disabled")
        return replace(self, groups={group: self.groups[group]},
                       entries={name: self.entries[name] for name in self.groups[group]})

    def secrets(self):
        return {secret for entry in self.entries.values() for secret in entry.secrets}


class OurFormat:
    """Config files as for Claude Desktop; a subclass in the room `dialects` knows others too."""

    lacks = "envFile", "timeout"    # keys of a server, of which such a subclass knows more
    parse = staticmethod(parse)     # parse(text) of a JSON file
    parsers = {}        # how another file's name ends → its parse(text)
    values = Values     # values(server, files) → the Values of a Stated server

    def __init__(self, taken_out=(), known=None, in_clear=None, check_request=None):
        """`taken_out`: more keys that need a room which this program does not have. known(server,
        keys) tells what a command itself says, see the room `programs`; in_clear(keys), which
        secrets stand in the file, and where, see `advice`; check_request(url, headers), what is
        wrong with them, see `remote`."""
        self.taken_out = *taken_out, *self.lacks
        self.known = known or (lambda server, keys: {})
        self.in_clear = in_clear or (lambda keys: {})
        self.check_request = check_request or (lambda url, headers: [])

    def servers(self, path, config):
        """The servers in a file, as Stated."""
        if "mcpServers" not in config:
            raise ConfigError(f'{path}: top level: needs the key "mcpServers"'
                              + unknown_to_us(config))
        check(OF_SERVERS, config, lambda key: f"{path}: {key}")
        return [Stated(path, config, f"mcpServers.{name}", name, keys,
                       off=isinstance(keys, dict) and keys.get("disabled") is True)
                for name, keys in config["mcpServers"].items()]


def load(paths, group=None, form=OurFormat()):
    """The Config in these files, in order; or of this group. Raises ConfigError, with `files`."""
    files, servers, groups, off = {}, {}, [], set()
    try:
        # The same file twice, maybe by two paths, is read once.
        for path in {os.path.realpath(path): Path(path) for path in paths}.values():
            files[path] = stamp_of(path)
            for server in _servers(path, form, groups, off):
                _add(server, servers)
        if not servers:
            raise ConfigError(f"{', '.join(map(str, paths))}: every server in it is disabled: "
                              "enable at least one")
        config = Config(servers, groups_of(groups, servers, off), files).only(group)
        entries = {name: _entry(name, server, form.values(server, files), form)
                   for name, server in config.entries.items()}
        check_prefixes(entries.values(), lambda name: servers[name].file)
    except ConfigError as problem:
        problem.files = files
        raise
    return replace(config, entries=entries)


def _servers(path, form, groups, off):
    """The servers in one file, checked. Its groups, as (path, name, members), and the names of
    the servers that are disabled are added to `groups` and `off`."""
    try:
        config = read(path, form.parsers.get(path.suffix, form.parse))
        try:
            stated = form.servers(path, config)
        finally:    # first: it may be why there seem to be none
            refuse_doubled(path, config)
        found = [server for server in stated if not server.off]
        for server in found:
            check_server(server, form.taken_out)
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    unknown = [f"{server.where}.{key}" for server in found for key in server.unknown()]
    if unknown:
        log.warning("%s: ignored keys that mean nothing to this router: %s", path,
                    ", ".join(unknown))
    groups += [(path, *group) for group in groups_in(path, config).items()]
    off |= {server.name for server in stated if server.off}
    return found


def _add(server, servers):
    name = segment(server.name)
    if name in servers:
        raise ConfigError(f"{server.place()}: is called {name} here, as is "
                          f"{servers[name].place()}: rename or remove one of the two")
    if name != server.name:
        log.info('%s: the server "%s" is called %s here', server.file, server.name, name)
    servers[name] = server


def _entry(name, server, values, form):
    keys, clear = values.keys(form.check_request), form.in_clear(server.keys)
    values.keep(*clear.values())
    clear, secrets = tuple(clear), values.secrets()
    found = form.known(server, keys) if keys.get("command") and not server.problems else {}
    before = keys.get("prefix", prefix(name))
    if server.problems:
        return Entry(name, prefix=before and before + SEPARATOR, clear=clear, secrets=secrets,
                     problem="; ".join(dict.fromkeys(server.problems)))
    oauth = {} if keys["oauth"] is True else keys["oauth"]
    tools, tls, restart = keys["tools"], keys["tls"], keys["restart"]
    if isinstance(restart, bool):
        restart = {} if restart else {"attempts": 0}
    idle = None if "url" in keys else server.config.get("idle")    # only its own word counts
    stated = {"shared": server.config.get("shared"), "idle": idle, **found, **server.keys}
    return Entry(
        name=name, command=keys.get("command"), args=tuple(keys["args"]), env=_pairs(keys["env"]),
        cwd=keys["cwd"], url=keys.get("url"), type=keys.get("type"),
        headers=_pairs(keys["headers"]), headers_command=tuple(keys.get("headersCommand", ())),
        oauth=None if oauth is False else _pairs(oauth),
        ca=tls.get("ca"), certificate=tls.get("certificate"), key=tls.get("key"),
        prefix=before and before + SEPARATOR,
        allow=tuple(tools["allow"]) if "allow" in tools else None,
        deny=tuple(tools.get("deny", ())), rules=server.rules,
        words=(server.word("tools.allow"), server.word("tools.deny")),
        rename=_pairs(keys["rename"]), describe=_pairs(keys["describe"]),
        start_timeout=keys["startTimeout"], timeout=keys["timeout"],
        restart_attempts=restart.get("attempts", math.inf if "url" in keys else 5),
        restart_pause=restart.get("pause", 1), healthy=restart.get("healthy", 60),
        # HTTP+SSE ended with the revision after its own.
        protocol=server.keys.get("protocol", "legacy" if keys.get("type") == "sse" else "auto"),
        shared=stated["shared"], hint=found.get("hint", ""),
        start=server.said("start", "now"), idle=stated["idle"],
        lists_by_capabilities=stated.get("listsByCapabilities", False),
        clear=clear, secrets=secrets)


def _pairs(values):
    return tuple(sorted(values.items()))
