"""Which process serves whom.

May import: transports.fabric, upstreams.server.

In reading order:
    plan.py         the rules, as a function: what to start, end and give to whom
    tables.py       what it decides by: servers, their processes, calls that wait
    processes.py    carries out the plan
    waiting.py      the way of a call to its process
    pool.py         what the router and the servers ask for

The last three are one class: Pool is a Waiting, which is a Processes. All that an Upstream wants
of it is in pool.py, except `changed` and `answered_late`.
"""
