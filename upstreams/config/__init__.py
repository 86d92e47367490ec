"""The config files. README.md here is the reference of the format.

May import: transports.fabric.

In reading order:
    entries.py            the whole way: files → one Entry for each server; our own format
    reading.py            the bytes of a file → a dict
    checking.py           a server as its file states it, whether that is right, and names
    values.py             the values of one server: variables, paths; which of them are secrets
    config.schema.json    the format, for editors too
    dialects              a room: the files of other hosts
    programs              a room: what is known of commands
"""
