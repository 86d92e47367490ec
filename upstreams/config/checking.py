"""A server as its file states it, and whether that is right: by config.schema.json, and beyond.

What is refused is a ConfigError. It says what is allowed and never repeats the value itself, which
may be a secret.
"""

import itertools
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from .reading import TAKEN_OUT, ConfigError

SCHEMA = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))
SERVER = SCHEMA["$defs"]["server"]
DEFAULTS = {key: part["default"] for key, part in SERVER["properties"].items()
            if "default" in part}
BESIDE = {"properties": {key: SCHEMA["properties"][key] for key in ("shared", "groups")}}
OF_SERVERS = {"properties": {"mcpServers": {**SCHEMA["properties"]["mcpServers"],
                                            "additionalProperties": {"type": "object"}}}}
NOTES = {"$schema", "description"}      # for people and editors

log = logging.getLogger("router")


@dataclass
class Stated:
    """One server as its file states it, in the words of our schema."""

    file: Path
    config: dict        # all that the file says
    where: str          # of it, as "mcpServers.github"
    name: str
    keys: dict

    def place(self, path=""):
        """Where this is: "env.KEY" → "x.json: mcpServers.github.env.KEY"."""
        return f"{self.file}: {self.where}" + (f".{path}" if path else "")

    def unknown(self):
        return [key for key in self.keys if key not in SERVER["properties"] and key not in NOTES]


def check(schema, value, place):
    """Refuse what is not as the schema says; place(path) says where that is."""
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(value))
    if problem:
        where = place(".".join(map(str, problem.absolute_path)))
        raise ConfigError(f"{where}: {_in_words(problem)}")


def _in_words(problem):
    allowed = problem.validator_value
    if problem.validator == "type":
        return f"must be {'an' if allowed[0] in 'aeio' else 'a'} {allowed}"
    return {"minLength": "must not be empty", "minItems": "must not be empty",
            "minProperties": "must name at least one server",
            "exclusiveMinimum": f"must be more than {allowed}",
            "minimum": f"must be at least {allowed}", "maximum": f"must be at most {allowed}",
            "maxLength": f"may have at most {allowed} characters",
            "pattern": 'may have letters, digits, "-" and "_" only',
            "enum": f"must be one of {allowed}"}.get(problem.validator, "is not allowed")


def check_server(server):
    keys = server.keys
    # One without a command and a URL is told so in our words
    check({**SERVER, "anyOf": [True]}, keys, server.place)
    if "command" in keys and "url" in keys:
        raise ConfigError(f'{server.place()}: has a "command" and a URL: remove one of the two, '
                          'or say by "type" which it is')
    needed = "command" if keys.get("type") == "stdio" else "url"
    if "type" in keys and needed not in keys:
        raise ConfigError(f'{server.place("type")}: "{keys["type"]}" needs the key "{needed}"')
    if "command" not in keys and "url" not in keys:
        raise ConfigError(f'{server.place()}: needs the key "command", or "url"'
                          + unknown_to_us(server.unknown()))
    _check_names(server)


def _check_names(server):
    """What is renamed or described must have one name, and no other the same. A tool that the
    server itself calls so is only known when it lists that, see catalog.py."""
    renamed, originals = server.keys.get("rename", {}), {}
    for own, ours in renamed.items():
        if originals.setdefault(ours, own) != own:
            raise ConfigError(f'{server.place("rename")}: "{originals[ours]}" and "{own}" cannot '
                              f'both become "{ours}"')
    for name in server.keys.get("describe", {}).keys() & renamed.keys() - originals.keys():
        raise ConfigError(f'{server.place("describe")}: "rename" gives "{name}" another name: '
                          f'describe "{renamed[name]}"')


def check_rooms(server, connections, eras, units):
    """Refuse what needs a room that this program does not have, see load."""
    missing = {"command", "url"} & server.keys.keys() - set(connections)
    if server.keys.get("protocol") == "modern" and not eras:
        missing.add("protocol")
    for key in missing:
        raise ConfigError(f"{server.place(key)}: {TAKEN_OUT}")
    if server.keys.get("timeout", 0) >= 1000 and not units:
        raise ConfigError(f'{server.place("timeout")}: 1000 and more, which is in milliseconds, '
                          f"{TAKEN_OUT}: write seconds")


def check_prefixes(entries, servers):
    """`a__` and `a__b__` could both produce the name a__b__c. An empty prefix is allowed: of equal
    names the first server in the config has it."""
    prefixed = [entry for entry in entries if entry.prefix]
    for one, other in itertools.permutations(prefixed, 2):
        if other.prefix.startswith(one.prefix):
            raise ConfigError(
                f'{servers[one.name].file}: the servers "{one.name}" and "{other.name}" could '
                f'produce the same tool name, because of their prefixes "{one.prefix}" and '
                f'"{other.prefix}": give one of them another "prefix"')


def unknown_to_us(keys):
    """The end of a sentence about a key that is missing: it may be one of these, misspelt."""
    names = ", ".join(f'"{key}"' for key in keys if key not in NOTES)
    return f"; unknown to this router: {names}" if names else ""
