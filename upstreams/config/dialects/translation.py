"""What a host wrote of one server → the words of our schema, before it is checked.

A step changes what it understands and leaves everything else as it is: a value of a wrong type is
refused later, when the schema is checked, and under the name that the file has for it.
"""

import json
import logging
import re
import shlex
import shutil

from upstreams.config.reading import ConfigError

from .dialects import HEADERS, IN_SECONDS, LEFT_ALONE, TOKEN, TOOLS, TYPES, WORDS

MOST_MILLISECONDS = 86_400_000     # a day; the schema refuses more

log = logging.getLogger("router")


def translate(server):
    """The server, its keys changed in place. Raises ConfigError if it says a thing twice."""
    server.keys = {key: value for key, value in server.keys.items() if value is not None}
    if server.host == "opencode":
        server.keys = _with_dollars(server.keys)
    for step in (_words, _tools, _headers, _command, _type, _times, _strings):
        step(server)
    server.keys = {key: value for key, value in server.keys.items() if key not in LEFT_ALONE}
    return server


def _with_dollars(value):
    """opencode's {env:NAME} and {file:path} → ${env:NAME} and ${file:path}."""
    if isinstance(value, str):
        return re.sub(r"(?<!\$)\{((?:env|file):[^{}]*)\}", r"${\1}", value)
    if isinstance(value, dict):
        return {key: _with_dollars(item) for key, item in value.items()}
    return [_with_dollars(item) for item in value] if isinstance(value, list) else value


def _set(server, ours, theirs, value):
    """Raises ConfigError if the file says the same thing in another word as well."""
    if ours in server.keys and server.keys[ours] != value:
        raise ConfigError(f'{server.place()}: has both "{server.called.get(ours, ours)}" and '
                          f'"{theirs}": remove one of the two')
    server.keys[ours], server.called[ours] = value, theirs


def _words(server):
    transport = server.keys.get("transport")
    if isinstance(transport, dict):     # Graphiti
        del server.keys["transport"]
        for key, value in transport.items():
            _set(server, key, f"transport.{key}", value)
    for theirs in [key for key in server.keys if key in WORDS]:
        value = server.keys.pop(theirs)
        if theirs == "startup_timeout_ms" and _is_number(value):
            value /= 1000
        _set(server, WORDS[theirs], theirs, value)
    if isinstance(server.keys.get("headersCommand"), str):
        server.keys["headersCommand"] = _split(server.keys["headersCommand"])


def _tools(server):
    """Lists of names → our `tools`. `*` and `?` stay patterns: no tool has them in its name."""
    ours = server.keys.get("tools", {})
    if ours in ("*", ["*"]):                # Copilot CLI: all
        ours = {}
    elif server.host == "Codex" and isinstance(ours, dict) and all(
            isinstance(of_a_tool, dict) for of_a_tool in ours.values()):
        ours = {}                           # {name: {"approval_mode": …}}, which is its own
    elif isinstance(ours, list):
        ours = {"allow": _patterns(ours)}
        server.called["tools.allow"] = "tools"
    elif isinstance(ours, dict) and ours and all(isinstance(on, bool) for on in ours.values()):
        ours = {"deny": _patterns([name for name, on in ours.items() if not on])}
    for theirs in [key for key in server.keys if key in TOOLS]:
        value, which = server.keys.pop(theirs), TOOLS[theirs]
        if isinstance(ours, dict) and which not in ours:
            ours = {**ours, which: _patterns(value)}
            server.called[f"tools.{which}"] = theirs
        else:
            raise ConfigError(f'{server.place()}: "{theirs}" says again which tools are offered'
                              f', after "{server.called.get(f"tools.{which}", "tools")}": remove '
                              "one of the two")
    if ours:
        server.keys["tools"] = ours
    else:
        server.keys.pop("tools", None)


def _patterns(names):
    """Patterns for these names: what a [ stands for in a pattern, no host means."""
    return [name.replace("[", "[[]") if isinstance(name, str) else name
            for name in names] if isinstance(names, list) else names


def _headers(server):
    """Codex names the variables that hold a token or a header."""
    more = {}
    if HEADERS in server.keys:
        named = server.keys.pop(HEADERS)
        if not isinstance(named, dict):
            return _set(server, "headers", HEADERS, named)
        more = {header: (f"{HEADERS}.{header}", name) for header, name in named.items()}
    if TOKEN in server.keys:
        more["Authorization"] = (TOKEN, server.keys.pop(TOKEN))
    for header, (theirs, name) in more.items():
        headers = server.keys.setdefault("headers", {})
        if isinstance(headers, dict):
            value = "Bearer ${%s}" if theirs == TOKEN else "${%s}"
            headers[header] = value % name if isinstance(name, str) else name
            server.called[f"headers.{header}"] = theirs


def _command(server):
    """A command may be a list (opencode), an object (Zed), or a whole command line."""
    command, args = server.keys.get("command"), server.keys.get("args", [])
    if isinstance(command, dict):
        del server.keys["command"]
        for ours, theirs in (("command", "path"), ("args", "args"), ("env", "env")):
            if theirs in command:
                _set(server, ours, f"command.{theirs}", command[theirs])
    elif isinstance(command, list) and command and isinstance(args, list):
        server.keys.update(command=command[0], args=[*command[1:], *args])
        server.called.update({"command": "command.0", "args": "command[1:]"})
    elif isinstance(command, str) and not args and _is_a_line(server.file, command):
        first, *args = _split(command)
        server.keys.update(command=first, args=args)
        server.called["args"] = "command"
        log.info("%s: is a command line; taken as the command %r with arguments",
                 server.place("command"), first)


def _is_a_line(file, command):
    """Whether it can only be a program and its arguments, as for a shell."""
    first, *rest = _split(command) or [""]
    if not rest or shutil.which(command) or (file.parent / command).exists():
        return False
    return "/" not in first and "\\" not in command or (file.parent / first).is_file()


def _split(line):
    try:
        return shlex.split(line)
    except ValueError:      # a quote that is not closed
        return [line]


def _type(server):
    said = server.keys.get("type")
    if isinstance(said, str):
        kind = TYPES.get(re.sub("[-_]", "", said.lower()), said)
        server.keys["type"] = kind
        if kind is None:
            del server.keys["type"]
    elif server.called.get("url") == "httpUrl":
        server.keys["type"] = "http"
    if server.keys.get("type") == "stdio" and "command" in server.keys:
        server.keys.pop("url", None)
    elif server.keys.get("type") in ("http", "sse") and "url" in server.keys:
        server.keys.pop("command", None)


def _times(server):
    """Seconds, as in our schema; a `timeout` of 1000 and more is in milliseconds."""
    timeout = server.keys.get("timeout")
    if isinstance(timeout, dict) and server.host == "opencode":     # its second edition
        del server.keys["timeout"]
        for theirs, ours in (("startup", "startTimeout"), ("request", "timeout")):
            if theirs in timeout:
                value = timeout[theirs]
                _set(server, ours, f"timeout.{theirs}",
                     value / 1000 if _is_number(value) else value)
    elif _is_number(timeout) and _in_milliseconds(server, timeout):
        server.keys["timeout"] = timeout / 1000
        log.info("%s: understood as milliseconds: %g seconds", server.place("timeout"),
                 timeout / 1000)


def _in_milliseconds(server, timeout):
    if server.host == "opencode":
        return True
    return 1000 <= timeout <= MOST_MILLISECONDS and "timeout" not in server.called and (
        timeout > 3600 or not IN_SECONDS & server.keys.keys())


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _strings(server):
    """Numbers and booleans become what hosts make of them; null is as if it were left out."""
    for key in ("env", "headers"):
        if isinstance(server.keys.get(key), dict):
            server.keys[key] = {name: _string(value) for name, value in server.keys[key].items()
                                if value is not None}
    if isinstance(server.keys.get("args"), list):
        server.keys["args"] = [_string(value) for value in server.keys["args"]]


def _string(value):
    return json.dumps(value) if isinstance(value, bool) or _is_number(value) else value
