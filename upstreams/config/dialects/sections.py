"""Where the servers are in a config file, and whose they are.

Everything else in a host's settings is none of our business.
"""

import logging

from upstreams.config.reading import ConfigError
from upstreams.config.stated import Stated

from .dialects import HOSTS, SIGNS
from .translation import translate

log = logging.getLogger("router")


def understand(path, config):
    """What is in a config file: (its servers, the names of those that are disabled, the hosts).

    The servers are Stated. Raises ConfigError.
    """
    servers, off, hosts = [], [], []
    for host, where, found in _sections(path, config):
        hosts.append(host)
        for name, keys in found.items():
            if not isinstance(keys, dict):
                raise ConfigError(f"{path}: {where}{name}: must be an object")
            if _is_off(keys) or name in _excluded(config):
                off.append(name)
            elif _is_extension(host, keys):
                log.warning('%s: left out "%s", which is an extension of Zed', path, name)
                off.append(name)
            else:
                for key in ("enabled", "isActive"):     # "false" must not start it
                    if not isinstance(keys.get(key, True), bool):
                        raise ConfigError(f"{path}: {where}{name}.{key}: must be a boolean")
                servers.append(translate(Stated(path, where + name, name, host, keys)))
    return servers, off, list(dict.fromkeys(hosts))


def _sections(path, config):
    """[(host, where, servers)] for all places of the file that hold servers."""
    found = []
    for keys, host in HOSTS.items():
        servers = _by_name(_at(config, keys))
        if keys == ("mcp",) and servers:
            servers, host = _of_opencode(servers)
        if keys == ("mcpServers",) and servers is not None and not isinstance(servers, dict):
            raise ConfigError(f"{path}: mcpServers: must be an object")
        if isinstance(servers, dict) and (keys == ("mcpServers",) or _are_objects(servers)):
            if keys == ("mcp", "servers") and _is_opencode(servers):
                host = "opencode"
            found.append((host, ".".join(keys) + ".", servers))
    # Beside servers, other things may have a key of the same name: those of SSH, other settings
    found = [one for one in found if one[1] == "mcpServers." or any(
        SIGNS & server.keys() for server in one[2].values())] or found
    if not found and config and all(_are_objects({name: value}) and SIGNS & value.keys()
                                    for name, value in config.items() if name != "$schema"):
        found = [("Claude Desktop, without its top key", "", {
            name: value for name, value in config.items() if name != "$schema"})]
    if not any(servers for _, _, servers in found):
        raise ConfigError(f"{path}: {_no_servers(config, found)}")
    return found


def _at(config, keys):
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _by_name(servers):
    """Some hosts have a list of servers, each with its name."""
    if isinstance(servers, list) and servers and all(
            isinstance(server, dict) and isinstance(server.get("name"), str)
            for server in servers) and len({server["name"] for server in servers}) == len(servers):
        return {server["name"]: server for server in servers}
    return servers


def _are_objects(servers):
    return all(isinstance(server, dict) for server in servers.values())


def _of_opencode(servers):
    """Its servers, and who writes so. Gemini CLI has lists of names in the same place, and VS
    Code has an object of servers there."""
    if not isinstance(servers, dict):
        return None, None
    if not _are_objects(servers) or "servers" in servers:
        servers = {name: server for name, server in servers.items()
                   if isinstance(server, dict) and SIGNS & server.keys()} or None
    return servers, "opencode" if servers and _is_opencode(servers) else "Crush"


def _is_opencode(servers):
    return any(isinstance(server.get("command"), list) or server.get("type") in ("local", "remote")
               for server in servers.values())


def _no_servers(config, found):
    if found:
        return f"{found[0][1].rstrip('.')}: must name at least one server"
    if SIGNS & config.keys():
        return 'is a server without a name: write {"mcpServers": {"its-name": {…}}}'
    unknown = ", ".join(f'"{key}"' for key in config if key != "$schema")
    return 'top level: needs the key "mcpServers"' + (
        f"; unknown to this router: {unknown}" if unknown else "")


def _excluded(config):
    """The names of the servers that Gemini CLI would not start."""
    rules, servers = _at(config, ("mcp",)), _at(config, ("mcpServers",))
    if not isinstance(rules, dict) or not isinstance(servers, dict):
        return ()
    allowed, excluded = rules.get("allowed"), rules.get("excluded")
    return {name for name in servers
            if isinstance(excluded, list) and name in excluded
            or isinstance(allowed, list) and name not in allowed}


def _is_extension(host, keys):
    """Zed starts it by itself. An older Zed wrote no `source`."""
    return not SIGNS & keys.keys() and (
        keys.get("source") == "extension" or host == "Zed" and "settings" in keys)


def _is_off(keys):
    return keys.get("disabled") is True or keys.get("enabled", True) is False \
        or keys.get("isActive", True) is False
