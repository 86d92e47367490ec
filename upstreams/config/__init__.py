"""The config file.

May import: transports.fabric.

In reading order:
    reading.py            the bytes of the file -> a dict
    entries.py            the dict, checked and expanded -> one Entry for each server
    config.schema.json    the format
"""
