"""Text from outside, made fit for a log, a table or an error message."""


def printable(text):
    r"""The text with every control character and line break escaped.

    >>> printable("a\x1b[31m b\nfake line")
    'a\\x1b[31m b\\x0afake line'
    """
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def without(secrets, text):
    """The text with each of the secrets replaced; longer ones must come first.

    >>> without(["hunter2"], "the password hunter2 is wrong")
    'the password *** is wrong'
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
