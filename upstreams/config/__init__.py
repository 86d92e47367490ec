"""The config files.

May import: transports.fabric.

In reading order:
    reading.py            the bytes of a file -> a dict
    dialects.py           how hosts write their configs: all that differs, as tables
    sections.py           where the servers are in a file, and whose they are
    translation.py        one server: a host's words -> ours, step by step
    checking.py           whether a server is what config.schema.json says
    names.py              names that can be part of paths and of tool names; groups
    variables.py          ${...}, and files of variables
    expanding.py          the values of one server: variables, paths, secrets
    entries.py            all of it together -> one Entry for each server
    clear.py              secrets that stand in the file in clear
    stateful.py           packages that are known to keep something of their client
    watch.py              the file may change while we run
    stateful.json         which packages, and what they keep
    config.schema.json    the format
"""
