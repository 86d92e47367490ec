"""The secrets that stand in the config in clear, to be hidden in the log, and told by --check.

A value counts as one by the name that it is given (`"API_KEY": "…"`, `--token=…`, `?key=…`), or by
how it begins, as the keys of well-known services do. This is a guess, good enough for that."""

import itertools
import re

from upstreams.config.values import BARE, SHORTEST

_SECRET = {"token", "key", "apikey", "secret", "password", "passwd", "passphrase", "auth",
           "authorization", "credential", "credentials", "pat", "bearer", "cookie"}
# The last word of a name that only tells something about a secret.
_ABOUT = {"file", "path", "dir", "url", "uri", "id", "name", "type", "mode", "method", "sock",
          "limit", "header", "env", "var", "host", "port"}
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Where a word may be long, it is tried from its beginning only: the rest would cost quadratic time
_KNOWN = re.compile(r"\b(?:gh[opsu]_|github_pat_|glpat-|sk-|sk_live_|rk_live_|xox[abprs]-|AKIA"
                    r"|AIza|hf_|npm_|pypi-|(?<![\w-])eyJ[\w-]+\.eyJ)[\w-]{16,}")
_NAMED = re.compile(r"""(?<![\w-])([\w-]+)["']? ?[=:] ?["']?([^/"'&;\s][^"'&;]*)""")
# Some vendors put the key into the path: long and with digits, or a UUID.
_IN_PATH = re.compile(r"/((?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[0-9A-Za-z]{20,}"
                      r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=[/?#]|$)")
_PASSWORD_IN_URL = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")


def in_clear(server):
    """{where: value} for the keys of one server, as the file has them."""
    named = [(f"{section}.{name}", name, value) for section in ("env", "headers")
             for name, value in server.get(section, {}).items()]
    for section in ("args", "headersCommand"):
        words = server.get(section, [])
        for i, (before, value) in enumerate(zip(["", *words], words)):
            option = before.startswith("-") and "=" not in before and not value.startswith("-")
            named.append((f"{section}.{i}", before if option else "", value))
    named.append(("url", "", server.get("url", "")))
    return {where: found for where, name, value in named
            if (found := value if _is_secret(name, value) else _within(value)
                or where == "url" and next(iter(_IN_PATH.findall(value)), None))}


def _is_secret(name, value):
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(_SECRET & set(words) and words[-1] not in _ABOUT and len(value) >= SHORTEST
                and not re.match(r"[~./\\]|[A-Za-z]:\\|<", value) and "${" not in value
                and not BARE.fullmatch(value))


def _within(value):
    """The secret that is a part of this value, or None."""
    named = (part for name, part in _NAMED.findall(value) if _is_secret(name, part))
    known = (match[0] for match in _KNOWN.finditer(value))
    passwords = (part for part in _PASSWORD_IN_URL.findall(value) if "${" not in part)
    return next(itertools.chain(named, known, passwords), None)
