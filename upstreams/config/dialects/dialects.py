"""Config files as all hosts write them, in place of our own format alone."""

import importlib
import logging
import math

from upstreams.config.reading import ConfigError
from upstreams.config.stated import OurFormat, Stated

from .finding import sections
from .hosts import HOSTS, is_off, is_server
from .translation import translate
from .values import HostValues

log = logging.getLogger("router")


class Dialects(OurFormat):
    """See OurFormat."""

    knows_others = True
    values = HostValues

    def parser(self, path):
        return _parse_toml if path.suffix == ".toml" else super().parser(path)

    def servers(self, path, config):
        servers, off, hosts, count = [], set(), {}, 0
        for section in sections(path, config):
            hosts[section.host.name] = section.host
            for where, name, keys in section.servers:
                if is_off(keys) or _is_excluded(section, config, name):
                    off.add(name)
                elif section.host.leaves_out and not is_server(keys) \
                        and section.host.leaves_out(keys):
                    log.warning('%s: left out "%s", which is an extension of %s', path, name,
                                section.host.name)
                    off.add(name)
                else:
                    servers.append(Stated(path, config, where, name, keys))
                    translate(servers[-1], section.host)
        log.log(logging.DEBUG if [*hosts.values()] == [HOSTS[0]] else logging.INFO,
                "%s: read as a config of %s: %d server%s", path, " and of ".join(hosts),
                len(servers), "" if len(servers) == 1 else "s")
        return servers, off


def _is_excluded(section, config, name):
    return any(host.excludes(config, name) for host in HOSTS
               if host.excludes and section.place in host.at)


def _parse_toml(text):
    try:
        return importlib.import_module("tomllib").loads(text, parse_float=_finite)
    except ModuleNotFoundError:
        raise ConfigError("is TOML, which needs Python 3.11 or later: run the router with that, "
                          "or write the servers into a JSON file") from None
    except ValueError as problem:
        raise ConfigError(f"not TOML: {problem}") from None


def _finite(text):
    """TOML has nan and inf, which mean nothing here; nan is not even equal to itself."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number here")
    return number
