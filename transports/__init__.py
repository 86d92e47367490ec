"""How clients reach the router. Never imports `upstreams`: each transport is handed the router.

May import: transports.fabric, transports.program.

In reading order:
    fabric/     messages, tables, queues, sessions: what both sides of the router stand on
    program/    what the whole program shares: options, the log, signals, the clock
    stdio.py    one client, on our standard input and output
    http/       many clients: HTTP+SSE; two rooms in it
Rooms:
    stateless/  clients of revision 2026-07-28, over HTTP and stdio
    tap/        the messages as they pass, for the live page and for --trace
"""
