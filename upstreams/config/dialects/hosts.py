"""Which hosts there are, and all that each of them writes otherwise than Claude Desktop does.

To add a host: its entry in HOSTS, an example in tests/dialects/configs, and its row in README.md.
What a file does not say is who wrote it. So a server in any file may use the words of all hosts;
only what a host has a place of its own for is known to be its."""

import fnmatch
import re
import shlex
from dataclasses import dataclass, field
from typing import Callable, NamedTuple

from transports.fabric.messages import dig

LONGEST_LINE = 2**14     # characters of a command line


class Word(NamedTuple):
    """What a host's key of a server means."""

    ours: str                   # our key; "tools.allow" is one within another
    change: Callable = lambda value: value      # its value → ours, by `each`; None: nothing
    type: str = None            # how a server is reached that has this key
    wins: bool = False          # whether our key does not count beside it


@dataclass(frozen=True)
class Host:
    """What one host writes, as far as it is not our own format."""

    name: str                           # in messages, and in the table of README.md
    at: tuple = ("mcpServers",)         # where its servers are; "" is the top of the file
    names: str = "name"                 # of a server, in it, if they are a list
    words: dict = field(default_factory=dict)   # its key of a server → ours, or a Word
    types: dict = field(default_factory=dict)   # its word for a type, without "-" and "_" → ours
    keeps: str = ""                     # keys for itself, which say nothing that we need
    seconds: bool = False               # with a key that it `keeps`, a timeout up to an hour is
    milliseconds: bool = False          # whether any timeout is
    folders: str = ""                   # in a project: a config there is for the folder above it
    wrote: Callable = None              # wrote(server): is it the host's, where others are too
    before: Callable = None             # before(server): its keys as other hosts would write them
    excludes: Callable = None           # excludes(config, name): will it not start that server
    rules: Callable = None              # rules(config, name): those of the Entry of that server
    told: dict = field(default_factory=dict)    # what is in the file → what its user is to know
    is_extension: Callable = None       # is_extension(server): what is there, and is no server


def each(change, *types):
    """A function that changes a value of these types, or all such values in a list or an object.
    It leaves others as they are: what is of a wrong type is refused later, by the schema."""
    def changed(value):
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        return change(value) if type(value) in types else value
    return changed


def split(line):
    """The words of a command line."""
    if not isinstance(line, str):
        return line
    try:    # shlex takes quadratic time for a long word
        return shlex.split(line) if len(line) <= LONGEST_LINE else [line]
    except ValueError:      # a quote that is not closed
        return [line]


# What is more than a day is left as it is, and is refused
seconds = each(lambda ms: ms / 1000 if 0 <= ms <= 86_400_000 else ms, int, float)
# Names of tools → patterns. No tool has * or ? in its name; what a [ means, no host means
patterns = each(lambda name: name.replace("[", "[[]"), str)
opposite = each(lambda value: not value, bool)


def _excluded_by_gemini(config, name):
    allowed, excluded = (dig(config, "mcp", key) for key in ("allowed", "excluded"))
    return isinstance(excluded, list) and name in excluded \
        or isinstance(allowed, list) and name not in allowed


def _of_opencode(server):
    return isinstance(server.get("command"), list) or server.get("type") in ("local", "remote")


class Rules(NamedTuple):
    """Which tools of a server are off: of the patterns that fit, the last one counts."""

    before: str         # goes before a tool's name there
    patterns: tuple     # (where in the file, a pattern of both, whether what fits is off)
    others: tuple = ()  # what goes before the tools of the other servers

    def hide(self, tool):
        name = self._name(tool)
        fit = [is_off for _, pattern, is_off in self.patterns
               if fnmatch.fnmatchcase(name, pattern)]
        return bool(fit and fit[-1])

    def useless(self, tools):
        """(where, pattern) of those that are for this server, and fit no tool of it. Others may
        be for tools that opencode has itself."""
        names = [self._name(tool) for tool in tools]
        for where, pattern, _ in self.patterns:
            whose = [before for before in (self._name(""), *map(_of_a_tool, self.others))
                     if pattern.startswith(before)]
            if max(whose, key=len, default="") == self._name("") and not fnmatch.filter(
                    names, pattern):
                yield where, pattern

    def _name(self, tool):
        return _of_a_tool(self.before + tool)


def _of_a_tool(name):
    return re.sub("[^A-Za-z0-9_-]", "_", name)


def _rules_of_opencode(config, name):
    """`tools` says whether a tool is on, `permission` what may be done with it. That may depend on
    its arguments: then the tool is there."""
    tools, permission = config.get("tools"), config.get("permission")
    found = [("tools", pattern, is_on is False) for pattern, is_on in tools.items()] \
        if isinstance(tools, dict) else []
    if not isinstance(permission, dict):
        permission = {} if permission is None else {"*": permission}
    for pattern, action in permission.items():
        if isinstance(action, dict):
            action = action.get("*") if [*action][-1:] == ["*"] else None
        found.append(("permission", pattern, action == "deny"))
    servers = dig(config, "mcp", "servers") or config.get("mcp.servers") or config.get("mcp")
    return Rules(f"{name}_", tuple((where, patterns(pattern), is_off)
                                   for where, pattern, is_off in found),
                 tuple(f"{other}_" for other in servers if other != name)
                 if isinstance(servers, dict) else ())


# {env:NAME} and {file:path} → ${env:NAME} and ${file:path}
_with_dollars = each(
    lambda text: re.sub(r"(?<!\$)\{((?:env|file):[^{}]*)\}", r"${\1}", text), str)


def _without_approvals(server):
    """`tools` is {a tool: {"approval_mode": …}}, and does not say which tools are offered."""
    tools = server.get("tools")
    own = isinstance(tools, dict) and all(isinstance(tool, dict) for tool in tools.values())
    return {key: value for key, value in server.items() if key != "tools" or not own}


def _is_extension(server):
    """Zed starts it by itself. An older Zed wrote no `source`."""
    return server.get("source") == "extension" or "settings" in server


ALLOW, DENY = Word("tools.allow", patterns), Word("tools.deny", patterns)
ENABLED = Word("disabled", opposite)
AT_FIRST_USE = Word("start", each(lambda at_once: None if at_once else "first-use", bool))
BEARER = Word("headers.Authorization", each("Bearer ${{{}}}".format, str))
GEMINI = dict(words={"httpUrl": Word("url", type="http", wins=True), "includeTools": ALLOW,
                     "excludeTools": DENY},
              keeps="trust extensionName", excludes=_excluded_by_gemini)

# What hosts say of a login at a remote server, in `oauth`, in `auth` or beside them → in `oauth`
LOGIN = {"scopes": "scope", "oauthScopes": "scope", "oauthScope": "scope",
         "authServerMetadataUrl": "metadataUrl", "oauth_resource": "resource",
         "CLIENT_ID": "clientId", "CLIENT_SECRET": "clientSecret", "oauthClientId": "clientId",
         "oauthClientSecret": "clientSecret", "oauthRedirectUrl": "redirectUri"}
OF_LOGIN = {    # a key in `oauth` → what makes ours of its value
    "scope": lambda scopes: " ".join(scopes) if isinstance(scopes, list) and all(
        isinstance(scope, str) for scope in scopes) else scopes,
    # Kiro once had only the host and the port of that address.
    "redirectUri": each(lambda uri: f"http://{uri}/oauth/callback" if re.fullmatch(
        r"(localhost|127\.0\.0\.1):[0-9]+", uri) else uri, str)}
NOT_IN_LOGIN = "enabled", "issuer", "registrationUrl", "audiences", "tokenParamName"

HOSTS = (
    Host("Claude Desktop"),
    Host("Claude Code", folders=".claude", keeps="alwaysLoad",
         told={"projects.*.mcpServers": "servers of single folders are not read: copy them into "
                                        '"mcpServers", or name a file with them by --config'},
         words={"headersHelper": Word("headersCommand", split)}),
    Host("Cursor", folders=".cursor"),
    Host("Cline", keeps="autoApprove", seconds=True, types={"streamablehttp": "http"}),
    Host("Roo Code", folders=".roo .kilocode",      # the second one is of Kilo Code
         keeps="alwaysAllow", seconds=True, words={"disabledTools": DENY},
         types={"streamablehttp": "http"}),
    Host("Kiro", folders=".kiro/settings", keeps="autoApprove disabledPrompts",
         words={"disabledTools": DENY}),
    Host("LM Studio"),
    Host("SEP-2633", keeps="title version", types={"streamablehttp": "http"}),  # a draft
    Host("Windsurf", folders=".windsurf", words={"serverUrl": "url", "disabledTools": DENY}),
    Host("Gemini CLI", folders=".gemini", **GEMINI),
    Host("Qwen Code", folders=".qwen", **GEMINI),
    Host("Copilot CLI", folders=".github", types={"local": "stdio"}),
    Host("Amp", at=("amp.mcpServers",), words={"includeTools": ALLOW}),
    Host("VS Code", at=("servers", "mcp.servers", "github.copilot.chat.mcp.servers"),
         folders=".vscode", keeps="dev gallery"),
    Host("Zed", at=("context_servers",), folders=".zed", keeps="source",
         is_extension=_is_extension,
         words={"command.path": "command", "command.args": "args", "command.env": "env",
                "enabled": ENABLED}),
    Host("opencode", at=("mcp", "mcp.servers"), wrote=_of_opencode, before=_with_dollars,
         types={"local": "stdio", "remote": None},      # it tries HTTP, then SSE
         milliseconds=True, rules=_rules_of_opencode,
         words={"environment": "env", "enabled": ENABLED,
                "timeout.startup": Word("startTimeout", seconds),
                "timeout.request": Word("timeout", seconds)}),
    Host("OpenClaw", at=("mcp.servers",),
         words={"toolFilter.include": ALLOW, "toolFilter.exclude": DENY, "enabled": ENABLED,
                "connectionTimeoutMs": Word("startTimeout", seconds),
                "requestTimeoutMs": Word("timeout", seconds)}),
    Host("Crush", at=("mcp",), words={"disabled_tools": DENY}),
    Host("Codex", at=("mcp_servers",), folders=".codex", before=_without_approvals,
         keeps="default_tools_approval_mode env_vars required",
         words={"enabled": ENABLED, "enabled_tools": ALLOW, "disabled_tools": DENY,
                "http_headers": "headers",
                "env_http_headers": Word("headers", each("${{{}}}".format, str)),
                "bearer_token_env_var": BEARER,
                "startup_timeout_sec": "startTimeout", "tool_timeout_sec": "timeout",
                "startup_timeout_ms": Word("startTimeout", seconds)}),
    Host("Warp", at=("",), folders=".warp",
         words={"working_directory": "cwd", "start_on_launch": AT_FIRST_USE}),
    Host("mcporter", words={"baseUrl": "url", "bearerTokenEnv": BEARER},
         keeps="tokenCacheDir clientName oauthRedirectUrl oauthCommand lifecycle logging",
         told={"imports": "configs of other hosts are not read by themselves: name their files "
                          "with --config"}),
    Host("mcp-proxy", keeps="options"),     # of which translation.py knows the toolFilter
    # What is found in the READMEs of servers, and in hosts that are seen less often
    Host("READMEs of servers", keeps="icon logo note tags",
         words={"uri": "url", "transport": "type", "transportType": "type",
                "transport.type": "type", "transport.url": "url", "enabledTools": ALLOW,
                "isActive": ENABLED, "autoStart": AT_FIRST_USE}),
)

# What follows from that
WORDS = {word: Word(means) if isinstance(means, str) else means
         for host in HOSTS for word, means in host.words.items()}
TYPES = {"stdio": "stdio", "http": "http", "sse": "sse"} | {
    word: ours for host in HOSTS for word, ours in host.types.items()}
SIGNS = ["command", "url", *(
    word for word, means in WORDS.items() if means.ours in ("command", "url"))]
KEPT = {key for host in HOSTS for key in (*host.keeps.split(), host.names)}
TOLD = {key: words for host in HOSTS for key, words in host.told.items()}
IN_SECONDS = {key for host in HOSTS if host.seconds for key in host.keeps.split()}
FOLDERS = {folder for host in HOSTS for folder in host.folders.split()}


def is_server(keys):
    """Whether these are the keys of a server, in a place where other things may be too."""
    return isinstance(keys, dict) and any(
        dig(keys, *sign.split(".")) is not None for sign in SIGNS)


def is_off(keys):
    """Whether a host would not start a server with these keys."""
    return keys.get("disabled") is True or any(
        word in keys and means.change(keys[word]) is True
        for word, means in WORDS.items() if means.ours == "disabled")
