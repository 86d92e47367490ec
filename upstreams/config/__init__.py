"""The config file.

May import: transports.fabric.

In reading order:
    entries.py            the file, read, checked and expanded into one Entry for each server
    config.schema.json    the format
"""
