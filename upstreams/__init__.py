"""The MCP servers that we run, and what each session sees of them."""
