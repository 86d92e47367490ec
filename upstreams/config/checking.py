"""Whether a config is what config.schema.json says, and in which words it is refused."""

import json
import logging
from pathlib import Path

import jsonschema

from .reading import ConfigError

SCHEMA = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))
NOTES = {"$schema", "description"}     # for people and editors
OF_A_FILE = {**SCHEMA, "required": []}
# A server without a command and a URL is told so in our words
OF_A_SERVER = {key: part for key, part in SCHEMA["$defs"]["server"].items() if key != "anyOf"}

log = logging.getLogger("router")


def check_file(path, config):
    """Raises ConfigError for what is beside the servers, as far as it is ours."""
    ours = {key: config[key] for key in ("shared", "groups") if key in config}
    problem = _problem(OF_A_FILE, ours)
    if problem:
        raise ConfigError(f"{path}: {_path(problem)}: {_in_words(problem)}")


def check_server(server):
    """Raises ConfigError for what is wrong with a Stated server."""
    problem = _problem(OF_A_SERVER, server.keys)
    if problem:
        raise ConfigError(f"{server.place(_path(problem))}: {_in_words(problem)}")
    kind, keys = server.keys.get("type"), server.keys
    if "command" in keys and "url" in keys:
        raise ConfigError(f'{server.place()}: has a "command" and a URL: remove one of the two, '
                          'or say by "type" which it is')
    needed = "command" if kind == "stdio" else "url"
    if kind and needed not in keys:
        raise ConfigError(f'{server.place("type")}: "{kind}" needs the key "{needed}"')
    if "command" not in keys and "url" not in keys:
        unknown = ", ".join(f'"{key}"' for key in _unknown(server))
        raise ConfigError(f'{server.place()}: needs the key "command", or "url"'
                          + (f"; unknown to this router: {unknown}" if unknown else ""))


def warn_of_unknown_keys(path, servers):
    unknown = [f"{server.where}.{key}" for server in servers for key in _unknown(server)]
    if unknown:
        log.warning("%s: ignored keys that mean nothing to this router: %s", path,
                    ", ".join(unknown))


def _unknown(server):
    return [key for key in server.keys
            if key not in OF_A_SERVER["properties"] and key not in NOTES]


def _problem(schema, value):
    return jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(value))


def _path(problem):
    return ".".join(str(part) for part in problem.absolute_path)


def _in_words(problem):
    """What is allowed. The value itself is not repeated: it may be a secret."""
    allowed = problem.validator_value
    if problem.validator == "type":
        return f"must be {'an' if allowed[0] in 'aeio' else 'a'} {allowed}"
    return {"minLength": "must not be empty", "minItems": "must not be empty",
            "exclusiveMinimum": f"must be more than {allowed}",
            "minimum": f"must be at least {allowed}", "maximum": f"must be at most {allowed}",
            "maxLength": f"may have at most {allowed} characters",
            "pattern": 'may have letters, digits, "-" and "_" only',
            "enum": f"must be one of {allowed}"}.get(problem.validator, "is not allowed")
