"""What a host wrote of one server → the words of our schema, before it is checked.

A step changes what it understands and leaves everything else as it is: a value of a wrong type is
refused later, when the schema is checked, and under the name that the file has for it."""

import json
import re
import shutil
from dataclasses import dataclass, field

from transports.fabric.messages import dig
from transports.fabric.text import log
from upstreams.config.checking import Stated

from .hosts import (IN_SECONDS, KEPT, LOGIN, NOT_IN_LOGIN, OF_LOGIN, TYPES, WORDS, each, patterns,
                    seconds, split)


@dataclass
class Translated(Stated):
    """A server in the words of a host, and after `translate` in ours."""

    called: dict = field(default_factory=dict)  # a key of ours, as "env" → what the file calls it

    def word(self, path):
        """What the file calls this: "env.KEY" → "environment.KEY"."""
        first, _, rest = path.partition(".")
        for ours in (path, f"{first}.{rest.partition('.')[0]}", first):
            if ours in self.called:
                return self.called[ours] + path[len(ours):]
        return path


def translate(server, host):
    """Make the keys of this server ours."""
    keys = host.before(server.keys) if host.before else server.keys
    server.keys = {key: value for key, value in keys.items() if value is not None}
    for step in (_tools, _tool_filter, _words, _command, _type, _strings):
        step(server)
    _login(server)
    _timeout(server, host)
    server.rules = host.rules(server.config, server.name) if host.rules else None
    server.keys = {key: value for key, value in server.keys.items() if key not in KEPT}


def _set(server, ours, theirs, value):
    """Refuses what the file says in another word as well."""
    if isinstance(value, dict) and ours in ("env", "headers"):
        for name, item in value.items():
            _set(server, f"{ours}.{name}", f"{theirs}.{name}", item)
        return
    first, _, inner = ours.partition(".")
    keys = server.keys.get(first, {}) if inner else server.keys
    if not isinstance(keys, dict):
        return          # the schema refuses it
    if inner:
        keys = server.keys[first] = {**keys}    # the file's own stays as it is
    if keys.get(inner or ours, value) != value:
        server.refuse("", f'has both "{server.called.get(ours, ours)}" and "{theirs}": remove one '
                          "of the two")
        return
    keys[inner or ours], server.called[ours] = value, theirs


def _words(server):
    for key, value in list(server.keys.items()):    # of a word like "command.path"
        inside = {word: value[word.partition(".")[2]] for word in WORDS
                  if isinstance(value, dict) and word.partition(".")[0] == key
                  and word.partition(".")[2] in value}
        if inside:
            del server.keys[key]
            server.keys |= inside
    for theirs in [key for key in server.keys if key in WORDS]:
        _word(server, theirs, WORDS[theirs], server.keys.pop(theirs))


def _word(server, theirs, means, value):
    """Set what a word means of which this is the value."""
    if means.ours == "start" and not isinstance(value, bool):
        server.refuse(theirs, "must be a boolean")
        return
    changed = means.change(value)
    if changed is None:
        return
    if means.wins:
        server.keys.pop(means.ours, None)
    _set(server, means.ours, theirs, changed)
    if isinstance(changed, list) and not isinstance(value, list):   # of a command line
        server.called |= {f"{means.ours}.{i}": theirs for i in range(len(changed))}
    if means.type:
        server.keys.setdefault("type", means.type)


def _tools(server):
    """`tools` may be a list of all that are offered, or say true or false of each."""
    tools = server.keys.get("tools")
    if tools in ("*", ["*"]):
        del server.keys["tools"]
    elif isinstance(tools, list):
        server.keys["tools"] = {"allow": patterns(tools)}
        server.called["tools.allow"] = "tools"
    elif isinstance(tools, dict) and tools and all(isinstance(on, bool) for on in tools.values()):
        server.keys["tools"] = {"deny": patterns([name for name, on in tools.items() if not on])}
        server.called["tools.deny"] = "tools"


def _tool_filter(server):
    """`options.toolFilter` of mcp-proxy: the tools that are offered, or those that are not."""
    stated = dig(server.keys, "options", "toolFilter")
    mode, tools = (dig(stated, key) for key in ("mode", "list"))
    ours = {"allow": "tools.allow", "block": "tools.deny"}.get(str(mode).lower())
    if ours and tools:
        _set(server, ours, "options.toolFilter.list", patterns(tools))
    elif stated and not ours:
        server.refuse("options.toolFilter",
                      'must be like {"mode": "allow" or "block", "list": […]}')


def _command(server):
    """A command may be a list, or a whole command line."""
    command, args = server.keys.get("command"), server.keys.get("args", [])
    theirs = server.called.get("command", "command")
    if command == []:
        server.keys["command"] = ""     # the schema refuses it, as empty
    elif isinstance(command, list) and isinstance(args, list):
        server.keys.update(command=command[0], args=[*command[1:], *args])
        places = [f"{theirs}.{i}" for i in range(len(command))] + [
            f"args.{i}" for i in range(len(args))]
        server.called["command"], *places = places
        server.called |= {f"args.{i}": place for i, place in enumerate(places)}
    elif isinstance(command, str) and not args and _is_a_line(server.file, command):
        first, *args = split(command)
        server.keys.update(command=first, args=args)
        server.called.update({f"args.{i}": theirs for i in range(len(args))})
        log.info("%s: is a command line; taken as the command %r with arguments",
                 server.place("command"), first)


def _is_a_line(file, command):
    """Whether it can only be a program and its arguments, as for a shell."""
    first, *rest = split(command) or [""]
    if not rest or shutil.which(command) or (file.parent / command).exists():
        return False
    return "/" not in first and "\\" not in command or (file.parent / first).is_file()


def _type(server):
    """Of a command and a URL, the type says which it is."""
    kind = server.keys.get("type")
    if isinstance(kind, str):
        kind = server.keys["type"] = TYPES.get(re.sub("[-_]", "", kind.lower()), kind)
    if kind is None:
        server.keys.pop("type", None)
    if kind == "stdio" and "command" in server.keys:
        server.keys.pop("url", None)
    elif kind in ("http", "sse") and "url" in server.keys:
        server.keys.pop("command", None)


def _login(server):
    """`oauth`, out of what hosts have for it."""
    keys, oauth, auth = server.keys, server.keys.get("oauth"), server.keys.get("auth")
    if "url" not in keys or not isinstance(oauth, (dict, type(None))):
        return
    said = [(f"oauth.{key}", key, value) for key, value in (oauth or {}).items()
            if key not in NOT_IN_LOGIN]
    if auth == "oauth" or isinstance(auth, dict) and auth.keys() <= LOGIN.keys():
        del keys["auth"]
        said += [(f"auth.{key}", key, value) for key, value in auth.items()] \
            if isinstance(auth, dict) else []
    said += [(key, key, keys.pop(key)) for key in LOGIN if key in keys]
    if port := server.config.get("mcp_oauth_callback_port"):     # of Codex, for all its servers
        said.append(("oauth.callbackPort", "callbackPort", port))
    if oauth and oauth.get("enabled") is False:
        keys["oauth"] = False
    elif said or oauth:
        keys["oauth"] = {}
        for theirs, key, value in said:
            ours = LOGIN.get(key, key)
            _set(server, f"oauth.{ours}", theirs, OF_LOGIN.get(ours, lambda same: same)(value))


def _timeout(server, host):
    """Seconds, as in our schema; a `timeout` of 1000 and more is in milliseconds."""
    timeout, known = server.keys.get("timeout"), "timeout" in server.called
    if not known and type(timeout) in (int, float) and (host.milliseconds or timeout >= 1000 and (
            timeout > 3600 or not IN_SECONDS & server.keys.keys())):
        server.keys["timeout"] = seconds(timeout)
        log.info("%s: understood as milliseconds: %s seconds", server.place("timeout"),
                 f"{server.keys['timeout']:g}" if timeout < 1e9 else "too many")


def _strings(server):
    """Numbers and booleans become what hosts make of them; null is as if it were left out."""
    for key in ("env", "headers", "args"):
        values = server.keys.get(key)
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if value is not None}
        if isinstance(values, (dict, list)):
            server.keys[key] = each(json.dumps, bool, int, float)(values)
