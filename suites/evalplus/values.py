"""Python values as JSON text, for the two places where this file's own source runs inside the sandbox.

A reference solution's driver prints its answers with it, and checks read inputs and expected values with it. Text, and
not Python literals: a long literal costs a hundred times more to compile than a string costs to parse, and each sample
would pay. All names are local to one function, and builtins are bound in it, since a solution may define `sum`.
"""


# ruff: noqa: UP029
# mypy: allow-untyped-defs, allow-untyped-calls


def assay_values():
    """(to_text, decode, fingerprint): a value to JSON text, a parsed JSON form back to its value, and a hash.

    Floats, strings, booleans, None, small integers and lists are JSON's own; every other type is a one-entry object
    {tag: content}. A subclass is written as its base class, which compares the same. TypeError where a value is none
    of these.
    """
    import hashlib
    import json
    import marshal
    from builtins import (
        TypeError,
        ValueError,
        bytes,
        complex,
        dict,
        float,
        frozenset,
        hex,
        int,
        isinstance,
        list,
        range,
        set,
        sorted,
        str,
        tuple,
        type,
    )

    tags = ((tuple, "t"), (set, "s"), (frozenset, "f"))

    def encode(value):
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, int):
            return int(value) if value.bit_length() < 10000 else {"i": hex(value)}
        if isinstance(value, float):
            return float(value)
        if isinstance(value, list):
            return [encode(item) for item in value]
        if isinstance(value, dict):
            return {"d": [[encode(key), encode(item)] for key, item in value.items()]}
        if isinstance(value, complex):
            return {"c": [value.real, value.imag]}
        if isinstance(value, bytes):
            return {"b": value.hex()}
        if isinstance(value, range):
            return {"r": [value.start, value.stop, value.step]}
        for kind, tag in tags:
            if isinstance(value, kind):
                items = [encode(item) for item in value]
                return {tag: sorted(items, key=json.dumps) if tag in "sf" else items}
        raise TypeError("a " + type(value).__name__ + " is not data")

    makers = {
        "i": lambda content: int(content, 16),
        "c": lambda content: complex(content[0], content[1]),
        "b": lambda content: bytes.fromhex(content),
        "t": lambda content: tuple([decode(item) for item in content]),
        "s": lambda content: set([decode(item) for item in content]),
        "f": lambda content: frozenset([decode(item) for item in content]),
        "r": lambda content: range(*content),
        "d": lambda content: dict([(decode(key), decode(item)) for key, item in content]),
    }

    def decode(form):
        if type(form) is list:
            return [decode(item) for item in form]
        if type(form) is dict:
            ((tag, content),) = form.items()
            return makers[tag](content)
        return form

    def to_text(value):
        return json.dumps(encode(value), separators=(",", ":"))

    def fingerprint(value):
        """A hash of a value and its types, fast enough for answers of megabytes; "" where there is none. Version 2 of
        marshal's format depends on nothing but the value."""
        try:
            return hashlib.sha256(marshal.dumps(value, 2)).hexdigest()
        except ValueError:
            return ""

    return to_text, decode, fingerprint
