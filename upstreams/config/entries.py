"""mcp-config.json → a Config: one Entry for each server, checked against the schema, expanded.

A config written for Claude Desktop, Cursor or VS Code works as it is: keys that we do not know
are logged and not refused, and the top key may be `servers`, as in VS Code. Everything else that
is wrong is a ConfigError that says where it is and what to do.
"""

import fnmatch
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from transports.fabric.text import without

from .reading import ConfigError, read
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
    protocol: str = "auto"      # or its era, if it need not be found out: legacy or modern
    keeps: str = None           # what it is known to keep of a client, as "a browser"
    secrets: tuple = ()         # values that must not be shown, the longest first

    def hides(self, tool):
        """Whether a tool, by the server's name for it, is neither listed nor called."""
        def is_among(patterns):
            return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
        return self.allow is not None and not is_among(self.allow) or is_among(self.deny)

    def redact(self, text, most=4000):
        """The first `most` characters of the text, without the values that the config or the
        environment put into this entry, and without the beginning of one where it is cut."""
        if len(text) <= most:
            return without(self.secrets, text)
        text = text[:most]
        begun = max((length for secret in self.secrets for length in range(1, len(secret) + 1)
                     if text.endswith(secret[:length])), default=0)
        return without(self.secrets, text[:most - begun]) + "…"


@dataclass(frozen=True)
class Config:
    """What the config file says."""

    entries: dict       # {name: Entry}, in the file's order, without those that are disabled
    groups: dict        # {name of a group: [names of its servers]}


def load(path):
    """The Config in this file. Raises ConfigError."""
    path = Path(path)
    config = read(path)
    if "mcpServers" not in config and "servers" in config:  # VS Code
        config = {**config, "mcpServers": config["servers"]}
        del config["servers"]
    config = _without_disabled(path, config)
    _refuse_urls(path, config)
    _check(path, config)
    _warn_of_unknown_keys(path, config)
    entries = {name: _entry(path, name, server, config.get("shared"))
               for name, server in config["mcpServers"].items()}
    for name, entry in entries.items():
        if entry.keeps and entry.shared is False:
            log.info('server "%s" is known to keep %s of its client: each client gets a process '
                     "of its own", name, entry.keeps)
    _refuse_overlapping_prefixes(path, entries)
    return Config(entries, config.get("groups", {}))


def _without_disabled(path, config):
    """A disabled entry is not checked: it may be a remote server, or half done."""
    servers = config.get("mcpServers")
    if not isinstance(servers, dict):
        return config
    enabled = {name: server for name, server in servers.items()
               if not (isinstance(server, dict) and server.get("disabled") is True)}
    if servers and not enabled:
        raise ConfigError(f"{path}: every server in it is disabled: enable at least one")
    return {**config, "mcpServers": enabled}


# -- checking

SCHEMA = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))


def _refuse_urls(path, config):
    servers = config.get("mcpServers")
    for name, server in servers.items() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and ("url" in server
                                         or server.get("type", "stdio") != "stdio"):
            raise ConfigError(
                f'{path}: mcpServers.{name}: is a remote server ("url"); this router only starts '
                'servers with a "command" for now: remove the entry, or set "disabled": true')


def _check(path, config):
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(SCHEMA).iter_errors(config))
    if problem:
        where = ".".join(str(part) for part in problem.absolute_path) or "top level"
        raise ConfigError(f"{path}: {where}: {_in_words(problem)}")


def _in_words(problem):
    """What is allowed. The value itself is not repeated: it may be a secret."""
    allowed = problem.validator_value
    if problem.validator == "type":
        return f"must be {'an' if allowed[0] in 'aeio' else 'a'} {allowed}"
    if problem.validator == "required":
        return _missing(allowed, problem.instance, problem.schema["properties"])
    if "propertyNames" in problem.absolute_schema_path:
        return (f'the server name "{problem.instance}" is not possible: 1 to 40 letters, digits, '
                '"-", "_" and ".", the first one not "."')
    return {"minLength": "must not be empty", "exclusiveMinimum": f"must be more than {allowed}",
            "minimum": f"must be at least {allowed}", "maximum": f"must be at most {allowed}",
            "minProperties": "must name at least one server",
            "pattern": 'may have letters, digits, "-", "_" and "." only',
            "enum": f"must be one of {allowed}"}.get(problem.validator, "is not allowed")


def _missing(required, found, known):
    """A required key is missing. Mostly it is misspelt, so the unknown ones are named too."""
    missing = next(key for key in required if key not in found)
    unknown = ", ".join(f'"{key}"' for key in found if key not in known)
    return f'needs the key "{missing}"' + (f"; unknown to this router: {unknown}" if unknown
                                           else "")


def _warn_of_unknown_keys(path, config):
    known = SCHEMA["$defs"]["server"]["properties"]
    unknown = [key for key in config if key not in SCHEMA["properties"]]
    unknown += [f"mcpServers.{name}.{key}" for name, server in config["mcpServers"].items()
                for key in server if key not in known]
    if unknown:
        log.warning("%s: ignored keys that mean nothing to this router: %s", path,
                    ", ".join(unknown))


def _refuse_overlapping_prefixes(path, entries):
    """`a__` and `a__b__` could both produce the name a__b__c. An empty prefix is allowed: of
    equal names the first server in the config has it, see surfaces/aggregate.py."""
    prefixed = [entry for entry in entries.values() if entry.prefix]
    for entry in prefixed:
        for other in prefixed:
            if entry is not other and other.prefix.startswith(entry.prefix):
                raise ConfigError(
                    f'{path}: the servers "{entry.name}" and "{other.name}" could produce the '
                    f'same tool name, because of their prefixes "{entry.prefix}" and '
                    f'"{other.prefix}": give one of them another "prefix"')


# -- expanding

SEPARATOR = "__"     # between a prefix and a name
SHORTEST_SECRET = 6  # shorter values ("1", "true", "debug") would make the log unreadable

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
                       r"|\$\{((?:input|command|config):[^}]*)\}")


def _entry(path, name, server, shared):
    """`shared` is for servers that do not say it themselves and are not known to keep anything.

    Returns the Entry of one server. Raises ConfigError for a variable that is not set.
    """
    secrets = set(server.get("env", {}).values())

    def expand(key, text):
        def value_of(match):
            if "{" in (match[2] or ""):
                raise ConfigError(
                    f"{path}: mcpServers.{name}.{key}: the default of ${{{match[1]}:-…}} has a "
                    'brace in it, but it ends at the first "}": write it without braces')
            value = os.environ.get(match[1] or "", match[2])
            if value is None:
                raise ConfigError(
                    f"{path}: mcpServers.{name}.{key}: the variable {match[1] or match[3]} is not "
                    f"set: set it, or write ${{{match[1] or 'NAME'}:-a default}}")
            secrets.add(value)
            return value
        return _VARIABLE.sub(value_of, text)

    folder = path.resolve().parent
    tools, restart = server.get("tools", {}), server.get("restart", {})
    if isinstance(restart, bool):
        restart = {} if restart else {"attempts": 0}
    env = {key: expand(f"env.{key}", text) for key, text in server.get("env", {}).items()}
    secrets.update(env.values())
    args = [expand(f"args.{i}", text) for i, text in enumerate(server.get("args", []))]
    command = os.path.expanduser(expand("command", server["command"]))
    if os.path.basename(command) != command:  # a path, not a name to look up in PATH
        command = str(folder / command)
    keeps = kept_by(command, args)
    return Entry(
        name=name, command=command, args=tuple(args), env=tuple(env.items()),
        cwd=str(folder / os.path.expanduser(expand("cwd", server.get("cwd", ".")))),
        prefix=server.get("prefix", name) and server.get("prefix", name) + SEPARATOR,
        allow=tuple(tools["allow"]) if "allow" in tools else None,
        deny=tuple(tools.get("deny", ())),
        start_timeout=server.get("startTimeout", 60), timeout=server.get("timeout", 0),
        restart_attempts=restart.get("attempts", 5), restart_pause=restart.get("pause", 1),
        healthy=restart.get("healthy", 60), protocol=server.get("protocol", "auto"),
        shared=server.get("shared", False if keeps else shared), keeps=keeps,
        secrets=tuple(sorted(_with_lines(secrets), key=len, reverse=True)))


def _with_lines(secrets):
    r"""The secrets that are long enough, and each line of them, since a server may print a key
    line by line. Where a key must stand in one line, its line breaks are often written as \n."""
    parts = {part.strip() for value in secrets for part in re.split(r"[\r\n]|\\n", value)}
    return {value for value in secrets | parts if len(value) >= SHORTEST_SECRET}
