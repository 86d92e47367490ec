"""mcp-config.json: read, checked against config.schema.json, its variables expanded.

A config written for Claude Desktop, Cursor or VS Code works as it is, so unknown keys are warned
about and not refused, comments are allowed (VS Code writes them), and so is its top key
`servers`. Everything else that is wrong is a ConfigError that says where and what to do.
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

log = logging.getLogger("router")

SCHEMA = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))
SEPARATOR = "__"
SHORTEST_SECRET = 6  # shorter values ("1", "true", "debug") would make the log unreadable


class ConfigError(ValueError):
    """The config cannot be used. The text is for the user; the exit status is 2."""


@dataclass(frozen=True)
class Entry:
    """One server of the config, ready to start: nothing relative, nothing to expand."""

    name: str
    command: str
    args: tuple = ()
    env: tuple = ()  # pairs, so that the entry is a value
    cwd: str = "."
    prefix: str = ""
    start_timeout: float = 60
    allow: tuple = None         # patterns of the tools that are offered; None: all
    deny: tuple = ()            # patterns of those that are not
    timeout: float = 0          # of a call; 0: none
    restart_attempts: int = 5   # failures in a row before it is left alone; 0: never again
    restart_pause: float = 1.0  # seconds, doubled with each failure
    healthy: float = 60         # seconds of running that forgive earlier failures
    shared: bool | None = None  # None: by what the client can be asked, see pool.py
    secrets: tuple = ()

    def hides(self, tool):
        """Whether a tool, by the server's name for it, is neither listed nor called."""
        def named(patterns):
            return any(fnmatch.fnmatchcase(tool, pattern) for pattern in patterns)
        return self.allow is not None and not named(self.allow) or named(self.deny)

    def redact(self, text):
        """The text without the values that the config or the environment put into this entry."""
        return without(self.secrets, text)


def load(path):
    """The entries of the config file that are not disabled, in its order: {name: Entry}."""
    path = Path(path)
    config = _parse(path, _read(path))
    if "mcpServers" not in config and "servers" in config:  # VS Code
        config = {**config, "mcpServers": config["servers"]}
        del config["servers"]
    _refuse_urls(path, config)
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(SCHEMA).iter_errors(config))
    if problem:
        raise ConfigError(f"{path}: {_where(problem)}: {_what(problem)}")
    _warn_of_unknown_keys(path, config)
    folder = path.resolve().parent
    entries = {name: _entry(path, folder, name, server)
               for name, server in config["mcpServers"].items() if not server.get("disabled")}
    if not entries:
        raise ConfigError(f"{path}: every server in it is disabled: enable at least one")
    _refuse_prefixes_that_meet(path, entries)
    return entries


def _read(path):
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name yours with --config") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name a file with --config") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from None


_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')


def _parse(path, text):
    if not text.strip():
        raise ConfigError(f'{path}: is empty; it needs at least {{"mcpServers": {{…}}}}')
    for pattern in (_STRING_OR_COMMENT, _STRING_OR_LAST_COMMA):
        # Blanks for what is cut out, so that line and column in an error stay true.
        text = pattern.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    try:
        config = json.loads(text, object_pairs_hook=_no_key_twice)
    except KeyError as twice:
        raise ConfigError(f"{path}: the key {twice} stands twice in one object") from None
    except json.JSONDecodeError as problem:
        raise ConfigError(f"{path}: line {problem.lineno}, column {problem.colno}: "
                          f"not JSON: {problem.msg}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    if not isinstance(config, dict):
        raise ConfigError(f'{path}: must be an object like {{"mcpServers": {{…}}}}, '
                          f"not {_kind(config)}")
    return config


def _no_key_twice(pairs):
    """JSON readers keep the last of two equal keys: here, a server would be lost in silence."""
    seen = {}
    for key, value in pairs:
        if key in seen:
            raise KeyError(key)
        seen[key] = value
    return seen


def _kind(value):
    return {list: "a list", str: "a string", bool: "true or false"}.get(type(value), "a number")


def _refuse_urls(path, config):
    servers = config.get("mcpServers")
    for name, server in servers.items() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and not server.get("disabled") and (
                "url" in server or server.get("type", "stdio") != "stdio"):
            raise ConfigError(
                f'{path}: mcpServers.{name}: is a remote server ("url"); this router only starts '
                'servers with a "command" for now: remove the entry, or set "disabled": true')


def _where(problem):
    return ".".join(str(part) for part in problem.absolute_path) or "top level"


def _what(problem):
    """What is allowed, in words. The value itself is not repeated: it may be a secret."""
    allowed = problem.validator_value
    if problem.validator == "type":
        return f"must be {'an' if allowed[0] in 'aeio' else 'a'} {allowed}"
    if problem.validator == "required":
        missing = [key for key in allowed if key not in problem.instance]
        return f'needs the key "{missing[0]}"'
    if "propertyNames" in problem.absolute_schema_path:
        return (f'the server name "{problem.instance}" is not possible: 1 to 40 letters, digits, '
                '"-", "_" and ".", the first one not "."')
    return {"minLength": "must not be empty", "exclusiveMinimum": f"must be more than {allowed}",
            "minProperties": "must name at least one server",
            "pattern": 'may have letters, digits, "-", "_" and "." only',
            "enum": f"must be one of {allowed}"}.get(problem.validator, "is not allowed")


def _warn_of_unknown_keys(path, config):
    known = SCHEMA["$defs"]["server"]["properties"]
    unknown = [key for key in config if key not in SCHEMA["properties"]]
    unknown += [f"mcpServers.{name}.{key}" for name, server in config["mcpServers"].items()
                for key in server if key not in known]
    if unknown:
        log.warning("%s: keys that mean nothing here were ignored: %s", path, ", ".join(unknown))


_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
                       r"|\$\{((?:input|command|config):[^}]*)\}")


def _entry(path, folder, name, server):
    secrets = set(server.get("env", {}).values())

    def expand(key, text):
        def value_of(match):
            value = os.environ.get(match[1] or "", match[2])
            if value is None:
                raise ConfigError(
                    f"{path}: mcpServers.{name}.{key}: the variable {match[1] or match[3]} is not "
                    f"set: set it, or write ${{{match[1] or 'NAME'}:-a default}}")
            secrets.add(value)
            return value
        return _VARIABLE.sub(value_of, text)

    tools, restart = server.get("tools", {}), server.get("restart", {})
    if isinstance(restart, bool):
        restart = {} if restart else {"attempts": 0}
    env = {key: expand(f"env.{key}", text) for key, text in server.get("env", {}).items()}
    secrets.update(env.values())
    args = [expand(f"args.{i}", text) for i, text in enumerate(server.get("args", []))]
    command = os.path.expanduser(expand("command", server["command"]))
    if os.path.basename(command) != command:
        command = str(folder / command)
    return Entry(
        name=name, command=command, args=tuple(args), env=tuple(env.items()),
        cwd=str(folder / os.path.expanduser(expand("cwd", server.get("cwd", ".")))),
        prefix=server.get("prefix", name) and server.get("prefix", name) + SEPARATOR,
        allow=tuple(tools["allow"]) if "allow" in tools else None,
        deny=tuple(tools.get("deny", ())),
        start_timeout=server.get("startTimeout", 60), timeout=server.get("timeout", 0),
        restart_attempts=restart.get("attempts", 5), restart_pause=restart.get("pause", 1),
        healthy=restart.get("healthy", 60), shared=server.get("shared"),
        secrets=tuple(sorted((s for s in secrets if len(s) >= SHORTEST_SECRET),
                             key=len, reverse=True)))


def _refuse_prefixes_that_meet(path, entries):
    """`a` and `a__b` could both produce a__b__c. Bare names are another matter: see catalog.py."""
    with_prefix = [entry for entry in entries.values() if entry.prefix]
    for one in with_prefix:
        for other in with_prefix:
            if one is not other and other.prefix.startswith(one.prefix):
                raise ConfigError(
                    f'{path}: the servers "{one.name}" and "{other.name}" could produce the same '
                    f'tool name, because of their prefixes "{one.prefix}" and "{other.prefix}": '
                    'give one of them another "prefix"')
