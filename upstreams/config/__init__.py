"""The config file.

May import: transports.fabric.

In reading order:
    reading.py            the bytes of the file -> a dict
    entries.py            the dict, checked and expanded -> one Entry for each server
    stateful.py           packages that are known to keep something of their client
    stateful.json         which packages, and what they keep
    config.schema.json    the format
"""
