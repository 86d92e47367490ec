"""A server as its file states it, and whether that is right: by config.schema.json, and beyond.

A sentence never repeats a value, which may be secret. A mistake in a server fails that alone."""

import copy
import hashlib
import itertools
import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema

from transports.fabric.text import log

from .reading import TAKEN_OUT, ConfigError, doubled_in

SCHEMA = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))
SERVER = SCHEMA["$defs"]["server"]
DEFAULTS = {key: part["default"] for key, part in SERVER["properties"].items()
            if "default" in part}
BESIDE = {"properties": {key: SCHEMA["properties"][key] for key in ("shared", "start", "idle")},
          "$defs": SCHEMA["$defs"]}     # what a file says for its servers
GROUPS = SCHEMA["properties"]["groups"]
OF_SERVERS = {"properties": {"mcpServers": {**SCHEMA["properties"]["mcpServers"],
                                            "additionalProperties": True}}}
NEEDS_NO_ROOM = {"protocol": ("auto", "legacy"), "start": ("now",), "idle": (0,)}
NOTES = {"$schema", "description"}      # for people and editors
SEPARATOR = "__"        # between a prefix and a name
LONGEST_PREFIX = 40     # longer ones would leave no room for the tool's own name
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
MOST_NAMED = 10         # unknown keys in one sentence: settings of an editor may have hundreds


@dataclass
class Stated:
    """One server as its file states it, in the words of our schema."""

    file: Path
    config: dict        # all that the file says
    where: str          # in it: "mcpServers.github"
    name: str
    keys: dict
    problems: list = field(default_factory=list)    # all that is wrong with it, in sentences
    rules: tuple = None         # see the Entry
    off: bool = False           # whether it is disabled: then nothing of it is checked

    def __post_init__(self):
        for path, found in doubled_in(self.keys):
            found.told = True
            for key in found.twice:
                self.refuse(".".join((*path, key)), "stands twice: remove one of the two")

    def word(self, path):
        """What the file calls this: "tools.deny" may be its "disabledTools"."""
        return path

    def place(self, path=""):
        """Where this is: "env.KEY" → "x.json: mcpServers.github.env.KEY"."""
        path = self.word(path)
        return f"{self.file}: {self.where}" + (f".{path}" if path else "")

    def said(self, key, otherwise=None):
        """What it says, or else its file for all servers."""
        return self.keys.get(key, self.config.get(key, otherwise))

    def refuse(self, path, text):
        """It cannot be started, because of what is there."""
        self.problems.append(f"{self.place(path)}: {text}")

    def unknown(self):
        return [key for key in self.keys if key not in SERVER["properties"] and key not in NOTES]


def check(schema, value, place):
    """Refuse what is not as the schema says; place(path) says where that is."""
    for path, words in _wrong(schema, value):
        raise ConfigError(f"{place('.'.join(path))}: {words}")


def _wrong(schema, value):
    """Yield (where, what is wrong) for each thing that is not as the schema says."""
    for problem in jsonschema.Draft202012Validator(schema).iter_errors(value):
        problem = jsonschema.exceptions.best_match([problem])   # of several that may be meant
        allowed = problem.validator_value
        kind = problem.schema.get("$comment") or (" or ".join(
            [allowed] if isinstance(allowed, str) else map(str, allowed))
            if problem.validator == "type" else "")
        known, given = problem.schema.get("properties", ()), problem.instance
        unknown = ", ".join(f'"{key}"' for key in given if key not in known) \
            if isinstance(given, dict) else ""
        kind = f"must be {'an' if kind[:1] in 'aeio' else 'a'} {kind}"
        words = {"type": kind, "not": kind, "minProperties": "must name at least one server",
                 "minLength": "must not be empty", "minItems": "must not be empty",
                 "exclusiveMinimum": f"must be more than {allowed}",
                 "minimum": f"must be at least {allowed}", "maximum": f"must be at most {allowed}",
                 "maxLength": f"may have at most {allowed} characters",
                 "pattern": 'may have letters, digits, "-" and "_" only',
                 "additionalProperties": f"must not have {unknown}",
                 "enum": f"must be one of {json.dumps(allowed)[1:-1]}"}.get(
                     problem.validator, "is not allowed")
        yield [str(key) for key in problem.absolute_path], words


def check_server(server, taken_out):
    """Find what is wrong in one server by itself, or needs a room that this program does not have,
    as these keys do. The keys that stay are as the schema says."""
    keys = server.keys
    if not isinstance(keys, dict):
        server.refuse("", "must be an object")
        server.keys = {}
        return
    # One without a command and a URL is told so in our words
    wrong = [*_wrong({**SERVER, "anyOf": [True], "$defs": SCHEMA["$defs"]}, keys)]
    server.keys = copy.deepcopy(keys) if wrong else keys
    for path, words in wrong:
        server.refuse(".".join(path), words)
        _drop(server.keys, path)
    for (key, *_), words in _wrong(BESIDE, server.config):
        if key not in keys:
            server.problems.append(f"{server.file}: {key}: {words}")
    if "command" in keys and "url" in keys:
        server.refuse("", 'has a "command" and a URL: remove one of the two, or say by "type" '
                          "which it is")
    kind = server.keys.get("type")
    needed = "command" if kind == "stdio" else "url"
    if kind and needed not in keys:
        server.refuse("type", f'"{kind}" needs the key "{needed}"')
    if "command" not in keys and "url" not in keys:
        server.refuse("", 'needs the key "command", or "url"' + unknown_to_us(server.unknown()))
    _check_names(server)
    _check_rooms(server, taken_out)


def _drop(keys, path):
    """Take out what is wrong, and nothing else, so that no other sentence becomes untrue: args
    keep their places, and a variable of `env` is still there."""
    for key in path[:-1]:
        keys = keys[int(key)] if isinstance(keys, list) else keys.get(key, {})
    if isinstance(keys, list):
        keys[int(path[-1])] = ""
    elif path[0] == "env" and len(path) > 1:
        keys[path[-1]] = ""
    else:
        keys.pop(path[-1], None)


def _check_names(server):
    # A tool that the server itself calls so is only known when it lists that, see catalog.py
    renamed, originals = server.keys.get("rename", {}), {}
    for own, ours in renamed.items():
        if originals.setdefault(ours, own) != own:
            server.refuse("rename", f'"{originals[ours]}" and "{own}" cannot both become "{ours}"')
    for name in server.keys.get("describe", {}).keys() & renamed.keys() - originals.keys():
        server.refuse("describe", f'"rename" gives "{name}" another name: describe '
                                  f'"{renamed[name]}"')


def _check_rooms(server, taken_out):
    for key in taken_out:
        said = server.said(key) if key in BESIDE["properties"] else server.keys.get(key)
        if said is None or said in NEEDS_NO_ROOM.get(key, ()):
            continue
        if key != "timeout":
            server.refuse(key, TAKEN_OUT)
        elif said >= 1000:
            server.refuse(key, f"1000 and more, which is in milliseconds, {TAKEN_OUT}: write "
                               "seconds")


def check_prefixes(entries, place=lambda name: "the config"):
    """Raise ConfigError if two of these entries could produce the same name, as `a__` and `a__b__`
    could both produce a__b__c. Of names without a prefix the first in the config counts."""
    prefixed = [entry for entry in entries if entry.prefix]
    for one, other in itertools.permutations(prefixed, 2):
        if other.prefix.startswith(one.prefix):
            raise ConfigError(
                f'{place(one.name)}: the servers "{one.name}" and "{other.name}" could '
                f'produce the same tool name, because of their prefixes "{one.prefix}" and '
                f'"{other.prefix}": give one of them another "prefix"')


def unknown_to_us(keys):
    """The end of a sentence about a key that is missing: it may be one of these, misspelt."""
    names = [f'"{key}"' for key in keys if key not in NOTES]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"; unknown to this router: {', '.join(names[:MOST_NAMED])}{more}" if names else ""


def segment(name):
    """A name that can be part of a path, as close to this one as possible."""
    if _SEGMENT.fullmatch(name):
        return name
    # One character after the other: the order of their marks, which costs quadratic time, is lost.
    parts = (unicodedata.normalize("NFKD", character) for character in name)
    ascii_only = "".join(parts).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("-.") or f"server-{_hash(name)}"


def prefix(name):
    """The prefix of a server with this name: hosts hand tool names to model APIs, which allow no
    more than letters, digits, - and _."""
    made = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return made if len(made) <= LONGEST_PREFIX else f"{made[:31]}-{_hash(name)}"


def _hash(name):
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def groups_in(path, config):
    """The groups that a file has. What is no object there is another host's: MCPHub has a list."""
    groups = config.get("groups", {})
    if not isinstance(groups, dict):
        log.warning('%s: groups: ignored, since groups of this router are like {"name": '
                    '["server", "server"]}', path)
        return {}
    check(GROUPS, groups, lambda key: f"{path}: groups.{key}")
    return groups


def groups_of(stated, servers, off):
    """{name of a group: the names of its servers here}, for the (path, name, members) of each.
    `servers`: by their names here; `off`: names of servers that are not started."""
    found, places = {}, {}
    for path, group, members in stated:
        place = f"{path}: groups.{group}"
        if places.setdefault(group, place) is not place:
            raise ConfigError(f"{place}: is {places[group]} too: rename or remove one of the two")
        if not _SEGMENT.fullmatch(group):
            raise ConfigError(f'{place}: is part of a path: it may have letters, digits, "-", "_" '
                              'and ".", the first one not "."')
        if group in servers:
            raise ConfigError(f"{place}: a server has this name: give the group another")
        found[group] = [name for name in dict.fromkeys(map(segment, members)) if name in servers]
        for name in members:
            if segment(name) not in {*servers, *map(segment, off)}:
                known = ", ".join(server.name for server in servers.values())
                raise ConfigError(f'{place}: there is no server "{name}"; there are: {known}')
    return found
