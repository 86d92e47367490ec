"""A config file as any host writes it: where its servers are, and whose they are.

Everything else in a host's settings is none of our business."""

import importlib
import logging
import math

from transports.fabric.messages import dig
from transports.fabric.text import log
from upstreams.config.checking import unknown_to_us
from upstreams.config.entries import OurFormat
from upstreams.config.reading import ConfigError

from .comments import parse
from .hosts import HOSTS, TOLD, is_off, is_server
from .translation import Translated, translate
from .values import HostValues

COMMON = "mcpServers"   # what is no server fails there; in other places other things may be
PLACES = sorted({place for host in HOSTS for place in host.at if place},
                key=lambda place: (place != COMMON, -place.count("."), place))

_ELSEWHERE = ", ".join(f'"{host.at[0]}" ({host.name})' for host in HOSTS
                       if host.at[0] not in ("", COMMON))


def _finite(text):
    """TOML has nan and inf, which mean nothing here; nan is not even equal to itself."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number here")
    return number


def _parse_toml(text):
    try:
        return importlib.import_module("tomllib").loads(text, parse_float=_finite)
    except ModuleNotFoundError:
        raise ConfigError("is TOML, which needs Python 3.11 or later: run the router with that, "
                          "or write the servers into a JSON file") from None
    except ValueError as problem:
        raise ConfigError(f"not TOML: {problem}") from None


def _refuse_yaml(_text):
    raise ConfigError("is YAML, as Goose and Continue have it, which this router does not read: "
                      'write the servers into a JSON file, as {"mcpServers": {…}}')


class Dialects(OurFormat):
    """See OurFormat."""

    lacks = ()
    parse = staticmethod(parse)
    parsers = {".toml": _parse_toml, ".yaml": _refuse_yaml, ".yml": _refuse_yaml}
    values = HostValues

    def servers(self, path, config):
        found, wrote = [], {}
        told = [f"{place}: {words}" for place, words in TOLD.items()
                if _is_there(config, place.split("."))]
        try:
            sections = _sections(path, config)
        except ConfigError as problem:
            raise ConfigError("; ".join([str(problem), *told])) from None
        for sentence in told:
            log.warning("%s: %s", path, sentence)
        for place, servers in sections:
            hosts = [host for host in HOSTS if place in host.at]
            # A host that knows its own servers, or else the first that has them there
            host = next((host for host in hosts if host.wrote and any(
                host.wrote(server.keys) for server in servers if isinstance(server.keys, dict))),
                next(host for host in hosts if not host.wrote))
            wrote[host.name] = True
            for server in servers:
                if isinstance(server.keys, dict):
                    server.off = _is_left_out(server, host, hosts)
                    if not server.off:
                        translate(server, host)
                found.append(server)
        count = sum(not server.off for server in found)
        log.log(logging.DEBUG if [*wrote] == [HOSTS[0].name] else logging.INFO,
                "%s: read as a config of %s: %d server%s", path, " and of ".join(wrote),
                count, "" if count == 1 else "s")
        return found


def _is_there(value, keys):
    """Whether something is there, and not empty. `*` is any key."""
    if not keys or not isinstance(value, dict):
        return bool(value) and not keys
    inside = value.values() if keys[0] == "*" else [value.get(keys[0])]
    return any(_is_there(item, keys[1:]) for item in inside)


def _is_left_out(server, host, hosts):
    """Whether the host would not start it."""
    extension = host.is_extension and not is_server(server.keys) and host.is_extension(server.keys)
    if extension and not is_off(server.keys):
        log.warning('%s: left out "%s", which is an extension of %s', server.file, server.name,
                    host.name)
    return extension or is_off(server.keys) or any(
        host.excludes(server.config, server.name) for host in hosts if host.excludes)


def _sections(path, config):
    """[(place, the servers there, in the words of the host)] of a file. Raises ConfigError if
    there are none."""
    top = {key: value for key, value in config.items() if key != "$schema"}
    found = [section for place in PLACES    # "mcp.servers" is one key, or one within another
             for keys in dict.fromkeys([(place,), tuple(place.split("."))])
             if (section := _section(path, config, place, dig(config, *keys)))]
    # Beside servers, other things may have a key of the same name: those of SSH, other settings
    found = [(place, servers) for place, servers in found if place == COMMON or any(
        is_server(server.keys) for server in servers)] or found[:1]
    if not found and top and all(map(is_server, top.values())):
        found = [("", [Translated(path, config, name, name, keys) for name, keys in top.items()])]
    if not found:
        raise ConfigError(f"{path}: " + (
            'is a server without a name: write {"mcpServers": {"its-name": {…}}}'
            if is_server(top) else f'top level: needs the key "{COMMON}", or that of another '
                                   f"host: {_ELSEWHERE}{unknown_to_us(top)}"))
    if not any(servers for _, servers in found):
        raise ConfigError(f"{path}: {found[0][0]}: must name at least one server")
    return found


def _section(path, config, place, there):
    """(place, servers) of what is there; None if these are no servers."""
    word = next(host.names for host in HOSTS if place in host.at)
    if isinstance(there, list) and any(dig(keys, word) and is_server(keys) for keys in there):
        named = _names(f"{path}: {place}", word, there)
    elif isinstance(there, dict):
        named = [(name, name, keys) for name, keys in there.items()]
    elif place == COMMON and there is not None:
        raise ConfigError(f"{path}: {place}: must be an object")
    else:
        return None
    servers = [Translated(path, config, f"{place}.{key}", name, keys) for key, name, keys in named]
    if place != COMMON and not all(isinstance(server.keys, dict) for server in servers):
        servers = [server for server in servers if is_server(server.keys)]
    for server in servers if isinstance(there, list) else ():
        if dig(server.keys, word) != server.name:
            server.refuse("", f'needs the key "{word}", with a name')
    return (place, servers) if servers or there == {} else None


def _names(place, word, servers):
    """[(its key, its name, its keys)] for a list of servers, as some hosts have it. One without a
    name is called by its place."""
    seen = {}
    for i, keys in enumerate(servers):
        name = dig(keys, word)
        if not isinstance(name, str):
            name = f"{place.rpartition(': ')[2]}.{i}"
        if name in seen:
            raise ConfigError(f'{place}.{i}.{word}: is "{name}", as that of number {seen[name]}: '
                              "rename or remove one of the two")
        seen[name] = i
    return [(i, name, servers[i]) for name, i in seen.items()]
