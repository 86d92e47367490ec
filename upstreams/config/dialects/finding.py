"""Where the servers are in a config file, and whose they are.

Everything else in a host's settings is none of our business.
"""

import logging
from dataclasses import dataclass

from transports.fabric.messages import dig
from upstreams.config.checking import unknown_to_us
from upstreams.config.reading import ConfigError

from .hosts import HOSTS, Host, is_server

log = logging.getLogger("router")

COMMON = "mcpServers"   # where a wrong entry is refused; in other places other things may be
PLACES = sorted({place: None for host in HOSTS for place in host.at if place},
                key=lambda place: (place != COMMON, -place.count(".")))


@dataclass
class Section:
    """Servers in one place of a file."""

    host: Host
    place: str
    servers: list       # (where in the file, name, keys)


def sections(path, config):
    """The Sections of a file. Raises ConfigError if there are none, or if they are empty."""
    found = [section for place in PLACES for there in _values(config, place)
             if (section := _section(path, place, there))]
    # Beside servers, other things may have a key of the same name: those of SSH, other settings
    found = [section for section in found if section.place == COMMON or any(
        is_server(keys) for _, _, keys in section.servers)] or found[:1]
    top = {name: keys for name, keys in config.items() if name != "$schema"}
    if not found and top and all(map(is_server, top.values())):
        found = [Section(_host_of("", top.values()), "", [(name, name, keys)
                                                          for name, keys in top.items()])]
    if not found and is_server(config):
        raise ConfigError(f"{path}: is a server without a name: write "
                          '{"mcpServers": {"its-name": {…}}}')
    if not found:
        raise ConfigError(f'{path}: top level: needs the key "mcpServers"'
                          + unknown_to_us(config))
    if not any(section.servers for section in found):
        raise ConfigError(f"{path}: {found[0].place}: must name at least one server")
    return found


def _values(config, place):
    """What is there: "mcp.servers" may be one key, or one within another."""
    return [config.get(place), dig(config, *place.split(".")) if "." in place else None]


def _section(path, place, there):
    """A Section of what is at this place; None if these are no servers."""
    if isinstance(there, list) and there and any(map(is_server, there)):
        servers = _of_list(path, place, there)
    elif isinstance(there, dict):
        servers = [(f"{place}.{name}", name, keys) for name, keys in there.items()]
    elif place == COMMON and there is not None:
        raise ConfigError(f"{path}: {place}: must be an object")
    else:
        return None
    wrong = [where for where, _, keys in servers if not isinstance(keys, dict)]
    if wrong and place == COMMON:
        raise ConfigError(f"{path}: {wrong[0]}: must be an object")
    if wrong:
        servers = [each for each in servers if is_server(each[2])]
    keys = [keys for _, _, keys in servers]
    return None if wrong and not servers else Section(_host_of(place, keys), place, servers)


def _of_list(path, place, servers):
    """Some hosts have a list of servers, each with its name."""
    key = next(host.names for host in HOSTS if place in host.at)
    found = {}
    for i, keys in enumerate(servers):
        name = dig(keys, key)
        if not isinstance(name, str):
            raise ConfigError(f'{path}: {place}.{i}: must be an object with the name of the '
                              f'server, "{key}"')
        if name in found:
            raise ConfigError(f'{path}: {place}.{i}: is called "{name}", as is {found[name][0]}: '
                              "rename or remove one of the two")
        found[name] = f"{place}.{i}", name, keys
    return list(found.values())


def _host_of(place, servers):
    """Who writes so: a host that knows its own servers, or else the first that has them there."""
    hosts = [host for host in HOSTS if place in host.at]
    return next((host for host in hosts if host.wrote and any(map(host.wrote, servers))),
                next(host for host in hosts if not host.wrote))
