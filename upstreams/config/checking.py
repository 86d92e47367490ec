"""A server as its file states it, and whether that is right: by config.schema.json, and beyond.

A ConfigError says what is allowed and never repeats the value itself, which may be a secret.
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
    where: str          # in it: "mcpServers.github"
    name: str
    keys: dict

    def place(self, path=""):
        """Where this is: "env.KEY" → "x.json: mcpServers.github.env.KEY"."""
        return f"{self.file}: {self.where}" + (f".{path}" if path else "")

    def refuse(self, path, text):
        raise ConfigError(f"{self.place(path)}: {text}")

    def unknown(self):
        return [key for key in self.keys if key not in SERVER["properties"] and key not in NOTES]


def check(schema, value, place):
    """Refuse what is not as the schema says; place(path) says where that is."""
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(value))
    if problem:
        allowed = problem.validator_value
        words = {"type": f"must be {'an' if str(allowed)[0] in 'aeio' else 'a'} {allowed}",
                 "minLength": "must not be empty", "minItems": "must not be empty",
                 "minProperties": "must name at least one server",
                 "exclusiveMinimum": f"must be more than {allowed}",
                 "minimum": f"must be at least {allowed}", "maximum": f"must be at most {allowed}",
                 "maxLength": f"may have at most {allowed} characters",
                 "pattern": 'may have letters, digits, "-" and "_" only',
                 "enum": f"must be one of {allowed}"}.get(problem.validator, "is not allowed")
        raise ConfigError(f"{place('.'.join(map(str, problem.absolute_path)))}: {words}")


def check_server(server):
    """Whether one server is right by itself."""
    keys = server.keys
    # One without a command and a URL is told so in our words
    check({**SERVER, "anyOf": [True]}, keys, server.place)
    if "command" in keys and "url" in keys:
        server.refuse("", 'has a "command" and a URL: remove one of the two, or say by "type" '
                          "which it is")
    needed = "command" if keys.get("type") == "stdio" else "url"
    if "type" in keys and needed not in keys:
        server.refuse("type", f'"{keys["type"]}" needs the key "{needed}"')
    if "command" not in keys and "url" not in keys:
        server.refuse("", 'needs the key "command", or "url"' + unknown_to_us(server.unknown()))
    # A tool that the server itself calls so is only known when it lists that, see catalog.py
    renamed, originals = keys.get("rename", {}), {}
    for own, ours in renamed.items():
        if originals.setdefault(ours, own) != own:
            server.refuse("rename", f'"{originals[ours]}" and "{own}" cannot both become "{ours}"')
    for name in keys.get("describe", {}).keys() & renamed.keys() - originals.keys():
        server.refuse("describe", f'"rename" gives "{name}" another name: describe '
                                  f'"{renamed[name]}"')


def check_rooms(server, connections, eras, units, logins):
    """Refuse what needs a room that this program does not have, see load."""
    for key in {"command", "url"} & server.keys.keys() - set(connections):
        server.refuse(key, TAKEN_OUT)
    if server.keys.get("protocol") == "modern" and not eras:
        server.refuse("protocol", TAKEN_OUT)
    if "oauth" in server.keys and not logins:
        server.refuse("oauth", TAKEN_OUT)
    if server.keys.get("timeout", 0) >= 1000 and not units:
        server.refuse("timeout", f"1000 and more, which is in milliseconds, {TAKEN_OUT}: write "
                                 "seconds")


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
