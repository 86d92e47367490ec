"""How clients reach the router.

May import: its own rooms. Never `upstreams`: each transport is handed the router.

In reading order:
    fabric/     messages, tables, queues, sessions: what both sides of the router stand on
    http/       many clients: HTTP+SSE and Streamable HTTP
    program/    what the whole program shares: options, signals, the clock
Each file beside these rooms is a transport: see TRANSPORTS in router.py.
"""
