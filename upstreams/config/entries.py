"""Config files → a Config: one Entry for each server, checked against the schema, expanded.

A config written for another host works as it is, see dialects.py: keys that we do not know are
logged and not refused. Everything else that is wrong is a ConfigError that says where it is, in
the words of the file, and what to do.
"""

import fnmatch
import functools
import logging
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from transports.fabric.text import redacted

from .checking import check_file, check_server, warn_of_unknown_keys
from .expanding import Expanded
from .names import SEPARATOR, check_group, prefix, segment
from .reading import ConfigError, read, stamp_of
from .stated import MOST, understand
from .stateful import kept_by

log = logging.getLogger("router")


@dataclass(frozen=True)
class Entry:
    """One server of the config, ready to start: nothing relative, nothing to expand."""

    name: str
    command: str = None         # of a process; None for a remote server
    args: tuple = ()
    env: tuple = ()  # pairs, so that an entry can be compared and hashed
    cwd: str = "."
    url: str = None             # of a remote server; None for a process
    type: str = None            # how it is reached there: http or sse; None: to be found out
    headers: tuple = ()         # pairs, for each request to it
    headers_command: tuple = ()     # a program and its arguments, whose output is more of them
    ca: str = None              # files: certificates that we trust there
    certificate: str = None     # what shows who we are
    key: str = None             # of that certificate
    prefix: str = ""
    start_timeout: float = 60
    allow: tuple = None         # patterns of the tools that are offered; None: all
    deny: tuple = ()            # patterns of the tools that are not
    rename: tuple = ()          # pairs: the server's name of a tool or prompt, and ours for it
    describe: tuple = ()        # pairs: our name of one, and its description
    timeout: float = 0          # seconds that a call may take; 0: no limit
    restart_attempts: int = 5   # failures in a row before it is left alone; 0: never again
    restart_pause: float = 1.0  # seconds, doubled with each failure
    healthy: float = 60         # seconds of running after which earlier failures do not count
    shared: bool | None = None  # None: by what the client can be asked, see kinds.py
    lists_by_capabilities: bool = False     # whether it lists by what its client can be asked
    protocol: str = "auto"      # or its era, if it need not be found out: legacy or modern
    keeps: str = None           # what it is known to keep of a client, as "a browser"
    clear: tuple = ()           # where secrets stand in the file as they are: env.TOKEN, args.1
    secrets: tuple = ()         # values that must not be shown, the longest first

    def hides(self, tool):
        """Whether a tool, by the server's name for it, is neither listed nor called."""
        def is_among(patterns):
            return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
        return self.allow is not None and not is_among(self.allow) or is_among(self.deny)

    def redact(self, text, most=4000):
        """The first `most` characters of the text, without the values that the config or the
        environment put into this entry."""
        return redacted(self.secrets, text, most)


@dataclass(frozen=True)
class Config:
    """What the config files say."""

    entries: dict       # {name: Entry}, in the files' order, without those that are disabled
    groups: dict        # {name of a group: [names of its servers]}
    files: dict = field(default_factory=dict)   # {path that was read: its stamp before that}

    def only(self, group):
        """The Config of the servers in this group alone, in its order; of all if it is None.

        Raises ConfigError for an unknown group.
        """
        if group is None:
            return self
        if group not in self.groups:
            known = f"there are: {', '.join(self.groups)}" if self.groups else \
                'the config has none; "groups" names some'
            raise ConfigError(f"--group {group}: there is no such group; {known}")
        names = self.groups[group]
        if not names:
            raise ConfigError(f"--group {group}: every server of it is disabled")
        return replace(self, entries={name: self.entries[name] for name in names},
                       groups={group: names})

    def secrets(self):
        """The values that must not be shown."""
        return {secret for entry in self.entries.values() for secret in entry.secrets}


def load(paths, group=None, connections=("command", "url"), understand=understand, eras=True):
    """The Config in these files, merged in their order; or of this group in them alone, and then
    no other server needs to have its variables set. Raises ConfigError, with its `files`.

    What there is in this program: a server needs a key of `connections`; understand(path, config)
    finds the servers in a file, as stated.py does; `eras`: whether "protocol" may be "modern".
    """
    files = {}
    try:
        return _load(paths, group, understand, functools.partial(
            _refuse_missing_rooms, connections, eras), files)
    except ConfigError as problem:
        problem.files = files
        raise


def _load(paths, wanted, understand, check_rooms, files):
    servers, settings, groups, off = {}, {}, {}, set()
    for path in map(Path, paths):
        files[path] = stamp_of(path)
        config = read(path)
        check_file(path, config)
        found, disabled, hosts = understand(path, config)
        off.update(disabled)
        for server in found:
            check_server(server)
            check_rooms(server)
            _refuse_clashing_names(server)
            name = _name(server, servers)
            servers[name] = server
            settings[name] = config.get("shared"), _prompts(config)
        warn_of_unknown_keys(path, found)
        log.log(logging.DEBUG if hosts == [MOST] else logging.INFO,
                "%s: read as a config of %s: %d server%s", path, " and of ".join(hosts),
                len(found), "" if len(found) == 1 else "s")
        for group, members in config.get("groups", {}).items():
            if group in groups:
                raise ConfigError(f"{path}: groups.{group}: is in {groups[group][0]} too: rename "
                                  "or remove one of the two")
            groups[group] = path, members
    if not servers:
        raise ConfigError(f"{', '.join(map(str, paths))}: every server in it is disabled: enable "
                          "at least one")
    called = {server.name: name for name, server in servers.items()}
    groups = {group: check_group(f"{path}: groups.{group}", group, members, called, off)
              for group, (path, members) in groups.items()}
    config = Config(servers, groups, files).only(wanted)
    entries = {name: _entry(server, name, *settings[name], files)
               for name, server in config.entries.items()}
    _refuse_overlapping_prefixes(entries.values(), servers)
    return replace(config, entries=entries)


def _refuse_missing_rooms(connections, eras, server):
    missing = {"command", "url"} & server.keys.keys() - set(connections)
    if not eras and server.keys.get("protocol") == "modern":
        missing = {"protocol"}
    for key in missing:
        raise ConfigError(f"{server.place(key)}: needs a room of this program that was taken out")


def _name(server, servers):
    """The name that the server has here; `servers`: {such a name: the server that has it}."""
    name = segment(server.name)
    if name in servers and servers[name].name == server.name:
        raise ConfigError(f"{server.place()}: is in {servers[name].place()} too: rename or remove "
                          "one of the two")
    if name in servers:
        raise ConfigError(f"{server.place()}: would be called {name} here, as would "
                          f"{servers[name].place()}: rename one of the two")
    if name != server.name:
        log.info('%s: the server "%s" is called %s here', server.file, server.name, name)
    return name


def _prompts(config):
    """{id: what VS Code asks its user for}."""
    nested = config.get("mcp")
    inputs = config.get("inputs") or (nested.get("inputs") if isinstance(nested, dict) else None)
    return {asked.get("id"): asked.get("description") for asked in inputs
            if isinstance(asked, dict) and isinstance(asked.get("id"), str)
            } if isinstance(inputs, list) else {}


def _refuse_overlapping_prefixes(entries, servers):
    """`a__` and `a__b__` could both produce the name a__b__c. An empty prefix is allowed: of
    equal names the first server in the config has it, see surfaces/aggregate.py."""
    prefixed = [entry for entry in entries if entry.prefix]
    for entry in prefixed:
        for other in prefixed:
            if entry is not other and other.prefix.startswith(entry.prefix):
                raise ConfigError(
                    f'{servers[entry.name].file}: the servers "{entry.name}" and "{other.name}" '
                    f'could produce the same tool name, because of their prefixes "{entry.prefix}"'
                    f' and "{other.prefix}": give one of them another "prefix"')


def _refuse_clashing_names(server):
    """What is renamed or described must have one name, and no other the same. A tool that the
    server itself calls so is only known when it lists that, see catalog.py."""
    renamed, originals = server.keys.get("rename", {}), {}
    for own, ours in renamed.items():
        if originals.setdefault(ours, own) != own:
            raise ConfigError(f'{server.place("rename")}: "{originals[ours]}" and "{own}" cannot '
                              f'both become "{ours}"')
    for name in server.keys.get("describe", {}):
        if name in renamed and name not in originals:
            raise ConfigError(f'{server.place("describe")}: "rename" gives "{name}" another name: '
                              f'describe "{renamed[name]}"')


def _entry(server, name, shared, prompts, files):
    """`shared` is for servers that do not say it themselves and are not known to keep anything;
    what else is read, as an envFile, is added to `files`.

    Returns the Entry of one server. Raises ConfigError.
    """
    keys, expanded = server.keys, Expanded(server, prompts, files)
    tools, restart, tls = keys.get("tools", {}), keys.get("restart", {}), keys.get("tls", {})
    if isinstance(restart, bool):
        restart = {} if restart else {"attempts": 0}
    command, args = expanded.program("command", keys.get("command")), expanded.words("args")
    ask = expanded.words("headersCommand")
    before = keys.get("prefix", prefix(name))
    keeps = kept_by(command or "", args)
    if keeps and keys.get("shared") is not True:
        log.info('server "%s" is known to keep %s of its client: each client gets a process '
                 "of its own", name, keeps)
    files = {key: expanded.path(f"tls.{key}", tls.get(key))
             for key in ("ca", "certificate", "key")}
    known = dict(
        name=name, command=command, args=args, env=tuple(expanded.env().items()),
        cwd=expanded.path("cwd", keys.get("cwd", ".")), url=expanded.url(), type=keys.get("type"),
        headers=tuple(expanded.headers().items()), headers_command=ask, **files,
        prefix=before and before + SEPARATOR,
        allow=tuple(tools["allow"]) if "allow" in tools else None,
        deny=tuple(tools.get("deny", ())),
        rename=tuple(keys.get("rename", {}).items()),
        describe=tuple(keys.get("describe", {}).items()),
        start_timeout=keys.get("startTimeout", 60), timeout=keys.get("timeout", 0),
        restart_attempts=restart.get("attempts", math.inf if "url" in keys else 5),
        restart_pause=restart.get("pause", 1),
        healthy=restart.get("healthy", 60),
        # HTTP+SSE ended with the revision after its own.
        protocol=keys.get("protocol", "legacy" if keys.get("type") == "sse" else "auto"),
        shared=keys.get("shared", False if keeps else shared), keeps=keeps,
        clear=tuple(expanded.clear()))
    return Entry(**known, secrets=expanded.secrets())
