"""How hosts write their configs: all that they do not have in common, as tables.

sections.py finds the servers in a file by the first table; translation.py turns what a host wrote
into the words of our schema (config.schema.json) by the others.
"""

from upstreams.config.stated import MOST

# Where a host has its servers. Several of these may be in one file.
HOSTS = {
    ("mcpServers",): MOST,
    ("amp.mcpServers",): "Amp",
    ("servers",): "VS Code",
    ("mcp", "servers"): "VS Code",      # in its settings.json; opencode 2 has them there too
    ("mcp.servers",): "VS Code",
    ("github.copilot.chat.mcp.servers",): "VS Code",
    ("mcp",): "opencode",               # and Crush
    ("context_servers",): "Zed",
    ("mcp_servers",): "Codex",          # in TOML; Mistral Vibe has a list there
}
# A host's key of a server → ours. All hosts may use all of them.
WORDS = {
    "serverUrl": "url",                 # Windsurf
    "httpUrl": "url",                   # Gemini CLI, Qwen Code: by Streamable HTTP
    "uri": "url", "transport": "type", "transportType": "type",
    "environment": "env",               # opencode
    "working_directory": "cwd",         # Warp
    "http_headers": "headers",          # Codex
    "headersHelper": "headersCommand",  # Claude Code
    "startup_timeout_sec": "startTimeout", "startup_timeout_ms": "startTimeout",    # Codex
    "tool_timeout_sec": "timeout",                                                  # Codex
}
TYPES = {"stdio": "stdio", "local": "stdio", "http": "http", "streamablehttp": "http",
         "sse": "sse", "remote": None}  # opencode tries HTTP, then SSE
# Lists of tools, which Windsurf, Kiro, Codex, Gemini CLI, Amp and Crush have
TOOLS = {"includeTools": "allow", "enabled_tools": "allow", "enabledTools": "allow",
         "excludeTools": "deny", "disabled_tools": "deny", "disabledTools": "deny"}
# What Codex writes, with the name of a variable: a token, and headers
TOKEN, HEADERS = "bearer_token_env_var", "env_http_headers"
# What says that it is a server, in a place where other things may be too
SIGNS = {"command", "url", "serverUrl", "httpUrl"}
# By these we know who counts a `timeout` up to an hour in seconds: Cline, Roo Code, Kilo Code
IN_SECONDS = {"alwaysAllow", "autoApprove"}
# What hosts keep there for themselves, and what says nothing that we need
LEFT_ALONE = IN_SECONDS | {
    "alwaysLoad", "autoStart", "default_tools_approval_mode", "dev",
    "disabledPrompts", "enabled", "env_vars", "extensionName", "gallery", "icon", "isActive",
    "logo", "name", "note", "required", "source", "start_on_launch", "tags", "title", "trust",
    "version"}
