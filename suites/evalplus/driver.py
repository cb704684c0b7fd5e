"""Asks a reference solution for its answers, in a file whose own source runs after the reference in the sandbox."""


# ruff: noqa: UP029, C419
# mypy: allow-untyped-defs, allow-untyped-calls


def assay_answers(text, call, values, not_none, exact, large, lenient, first, end, part, room):
    """Print the reference's answers to the inputs in `text` from `first` up to `end`, as far as there is room.

    What is printed is a line of JSON: `cpu_s`, the CPU seconds of each call, and `part`, the list of the answers as
    JSON text, compressed, in base64. What is shown of a program's output is capped, so that both have about `room`
    characters, and the rest of the inputs is left to another program, as is what is left after slice_s seconds, so
    that several workers share a slow reference. A single answer that needs more room comes in `parts`, of which this
    is number `part`; `sha256` is of all of them.

    An answer of more than `large` characters, about, is given by its hash ({"h": hash}) where equality is what is
    asked (`exact`). {"x": name of an exception} stands where memory does not suffice and, if `lenient`, where the
    reference raises or takes more than a second of CPU time. What the reference prints is discarded.
    """
    import base64
    import contextlib
    import hashlib
    import io
    import json
    import signal
    import time
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
        round,
        set,
        str,
        sum,
        tuple,
        type,
    )
    from builtins import float as real

    slice_s = 4.0
    to_text, decode, fingerprint = values
    clock = time.process_time

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
        """(the answer as JSON text, CPU seconds)"""
        used = 0.0
        try:
            arguments = decode(form)
            began = clock()
            try:
                if lenient:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)
                value = call(*arguments)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                used = clock() - began
            if not_none:
                return to_text(value is not None), used
            if exact and is_large(value) and not floats(value):
                hashed = fingerprint(value)
                if hashed:
                    return json.dumps({"h": hashed}), used
            return to_text(value), used
        except MemoryError:
            return '{"x":"memory"}', used
        except Exception as error:
            if not lenient:
                raise
            return json.dumps({"x": type(error).__name__}), used

    answers: list[str] = []
    cpu_s: list[real] = []
    # No less than all of them take together, compressed better.
    packer, size = zlib.compressobj(1), 0
    with contextlib.redirect_stdout(io.StringIO()):
        for form in json.loads(text)[first:end]:
            given, used = answer(form)
            size += len(packer.compress(given.encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
            if answers and size * 4 / 3 + 10 * len(answers) > room:
                break
            answers.append(given)
            cpu_s.append(round(used, 4))
            if sum(cpu_s) > slice_s:
                break
    packed = base64.b64encode(zlib.compress(("[" + ",".join(answers) + "]").encode(), 9)).decode()
    report = {
        "cpu_s": cpu_s,
        "sha256": hashlib.sha256(packed.encode()).hexdigest(),
        "parts": -(-len(packed) // room),
        "part": packed[part * room : (part + 1) * room],
    }
    print(json.dumps(report))
