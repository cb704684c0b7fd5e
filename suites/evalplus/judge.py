"""The cases of one problem, in a file whose own source is a problem's first check; see compare.py and values.py."""


# ruff: noqa: UP029
# mypy: allow-untyped-defs, allow-untyped-calls


def assay_cases(text, call, decode, fingerprint, agrees):
    """A function that runs case `i` and raises where the answer is wrong; after one that did, all others do.

    `text` is JSON: `inputs` (argument lists), `expected`, `atol` (one for each case), `rule` and `strict`. Arguments
    are decoded anew for every call, so that a solution that changes them changes nothing else.
    """
    import json
    import reprlib
    from builtins import AssertionError, TypeError, dict, int, list, object, str, type

    data = json.loads(text)
    inputs, expected, tolerances = data["inputs"], data["expected"], data["atol"]
    rule, strict = data["rule"], data["strict"]
    stopped: list[int] = []

    def answer(arguments):
        try:
            return call(*arguments)
        except TypeError as error:
            # What is asked for is only that there is an answer: a match object cannot cross to the judge, but is one.
            if rule == "not-none" and str(error).endswith("which is not data"):
                return object()
            raise

    def case(i):
        if stopped:
            raise AssertionError("not run, since a case before it failed")
        stopped.append(i)
        out = answer(decode(inputs[i]))
        if type(expected[i]) is dict and "h" in expected[i]:
            if fingerprint(out) != expected[i]["h"]:
                raise AssertionError("a large answer is not the reference's")
            stopped.clear()
            return
        exp = decode(expected[i])
        arguments = decode(inputs[i])
        if not agrees(rule, arguments, out, exp, tolerances[i], strict):
            given = ", ".join([reprlib.repr(item) for item in arguments])
            raise AssertionError(
                "for (" + given + ") returned " + reprlib.repr(out) + ", not " + reprlib.repr(exp)
            )
        stopped.clear()

    return case
