"""Asks a reference solution for its answers, in a file whose own source runs after the reference in the sandbox."""


# ruff: noqa: UP029, C419
# mypy: allow-untyped-defs, allow-untyped-calls


def assay_answers(text, call, values, not_none, exact, large, lenient, part, part_chars):
    """Print one part of the answers to the inputs in `text`: a line of JSON, compressed, in base64.

    An answer of more than `large` characters, about, is given by its hash ({"h": hash}) where equality is what is
    asked (`exact`). {"x": name of an exception} stands where memory does not suffice and, if `lenient`, where the
    reference raises or takes more than a second of CPU time. What is shown of a program's output is capped, so that
    much is fetched part by part; `sha256` and `parts` say what the whole is. What the reference prints is discarded.
    """
    import base64
    import contextlib
    import hashlib
    import io
    import json
    import signal
    import zlib
    from builtins import (
        Exception,
        MemoryError,
        TimeoutError,
        all,
        any,
        dict,
        frozenset,
        isinstance,
        len,
        list,
        print,
        set,
        str,
        sum,
        tuple,
        type,
    )
    from builtins import float as real

    to_text, decode, fingerprint = values

    def too_slow(*_):
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, too_slow)

    def floats(value):
        if isinstance(value, (list, tuple)):
            return all([isinstance(item, real) for item in value])
        return isinstance(value, real)

    def is_large(value):
        """Return whether a text, or a list of texts, numbers and lists, is longer than `large`, without writing it."""
        if isinstance(value, str):
            return len(value) > large
        if not isinstance(value, (list, tuple)) or any(
            isinstance(item, (set, frozenset, dict)) for item in value
        ):
            return False
        return sum([len(item) if isinstance(item, (list, tuple, str)) else 1 for item in value]) > large / 4

    def answer(form):
        try:
            if lenient:
                signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)
            value = call(*decode(form))
            if not_none:
                return to_text(value is not None)
            if exact and is_large(value) and not floats(value):
                hashed = fingerprint(value)
                if hashed:
                    return json.dumps({"h": hashed})
            return to_text(value)
        except MemoryError:
            return '{"x":"memory"}'
        except Exception as error:
            if not lenient:
                raise
            return json.dumps({"x": type(error).__name__})
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    with contextlib.redirect_stdout(io.StringIO()):
        answers = [answer(form) for form in json.loads(text)]
    joined = ("[" + ",".join(answers) + "]").encode()
    packed = base64.b64encode(zlib.compress(joined, 9)).decode()
    shown = packed[part * part_chars : (part + 1) * part_chars]
    parts = -(-len(packed) // part_chars)
    print(json.dumps({"parts": parts, "sha256": hashlib.sha256(joined).hexdigest(), "part": shown}))
