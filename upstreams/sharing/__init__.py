"""Which process serves whom.

May import: transports.fabric, upstreams.server.

In reading order:
    plan.py         the rules, as a function: what to start, end and give to whom
    tables.py       what it decides by: servers, their processes, calls that wait
    pool.py         what the router and the servers ask for
    waiting.py      the way of a call to its process
    processes.py    carries out the plan
"""
