"""EvalPlus' rules for whether an answer is right, in a file whose own source is a problem's first check.

Written from the behaviour of evalplus 0.3.1, without numpy, so that answers are compared in the judge's process where
there is nothing but the standard library. tests/suites/test_evalplus.py holds it against numpy's functions.
"""


# ruff: noqa: UP029, C419
# mypy: allow-untyped-defs, allow-untyped-calls


def assay_compare():
    """(agrees, close): whether an answer is right under a rule, and numpy.allclose on plain values."""
    import math
    from builtins import (
        TypeError,
        abs,
        all,
        any,
        complex,
        enumerate,
        float,
        int,
        isinstance,
        len,
        list,
        max,
        round,
        set,
        str,
        sum,
        tuple,
        type,
        zip,
    )

    RELATIVE = 1e-07  # noqa: N806 - numpy.testing.assert_allclose's default

    def shape(value):
        """The shape numpy gives a value, () for a number; TypeError for what it compares not as numbers."""
        if isinstance(value, (list, tuple)):
            inner = [shape(item) for item in value]
            if any(other != inner[0] for other in inner[1:]):
                raise TypeError("ragged")
            return (len(inner), *(inner[0] if inner else ()))
        if isinstance(value, int) and -(2**63) <= value < 2**64:
            return ()
        if isinstance(value, (float, complex)):
            return ()
        raise TypeError("not a number of numpy's")

    def near(out, exp, atol, nan):
        if out == exp or (nan and out != out and exp != exp):
            return True
        finite = [isinstance(x, complex) or math.isfinite(x) for x in (out, exp)]
        return all(finite) and abs(out - exp) <= atol + RELATIVE * abs(exp)

    def spread(out, exp, atol, depth, nan):
        """Compare as numpy broadcasts: missing leading dimensions and those of length 1 are repeated."""
        if depth == (0, 0):
            return near(out, exp, atol, nan)
        if depth[0] != depth[1]:
            outer, inner = (out, exp) if depth[0] > depth[1] else (exp, out)
            less = (max(depth) - 1, min(depth))
            pairs = ((item, inner) if depth[0] > depth[1] else (inner, item) for item in outer)
            sizes = less if depth[0] > depth[1] else less[::-1]
            return all([spread(a, b, atol, sizes, nan) for a, b in pairs])
        count = max(len(out), len(exp)) if len(out) and len(exp) else 0
        if len(out) not in (1, count) or len(exp) not in (1, count):
            raise TypeError("the shapes do not broadcast")
        out, exp = (x if len(x) == count else x * count for x in (out, exp))
        less = (depth[0] - 1, depth[1] - 1)
        return all([spread(a, b, atol, less, nan) for a, b in zip(out, exp, strict=True)])

    def close(out, exp, atol, nan=False):
        """numpy.allclose(out, exp, rtol=1e-07, atol=atol, equal_nan=nan); where that raises, so does this."""
        return spread(out, exp, atol, (len(shape(out)), len(shape(exp))), nan)

    def surface(base_edge, height):
        """Mbpp/581 with `height` read as the pyramid's own, which the problem leaves open."""
        slant = math.sqrt((base_edge / 2) ** 2 + height**2)
        return round(base_edge**2 + 2 * base_edge * slant)

    def digits(first, second):
        """Mbpp/558 with the shorter number padded by zeros."""
        width = max(len(str(first)), len(str(second)))
        pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
        return sum([abs(int(a) - int(b)) for a, b in pairs])

    def polynomial(coefficients, x):
        return sum([c * math.pow(x, i) for i, c in enumerate(coefficients)])

    def exact(rule, args, out, exp, atol):
        if rule == "any":
            return True
        if rule == "zero-too":
            return out == exp or out == 0
        if rule == "surface":
            return out == exp or abs(out - surface(*args)) <= atol
        if rule == "digits":
            return out == exp or out == digits(*args)
        if rule == "set":
            return set(out) == set(exp)
        if rule == "not-none":
            return out == exp if isinstance(out, bool) else exp == (out is not None)
        return out == exp

    def agrees(rule, args, out, exp, atol, strict=True):
        """Return whether `out` is right for `args`, `exp` being the reference's answer. May raise, which is a failure
        too.

        `strict` is the profile's (profile.py)."""
        if rule == "root-below" and polynomial(args[0], out) > atol:
            return False
        if rule == "root":
            return abs(polynomial(args[0], out)) <= atol
        if exact(rule, args, out, exp, atol):
            return True
        if atol == 0:
            return False
        if not strict:
            sizes = [shape(out), shape(exp)]
            return (sizes[0] == sizes[1] or () in sizes) and close(out, exp, atol, nan=True)
        if type(out) is not type(exp):
            return False
        if isinstance(exp, (list, tuple)) and len(out) != len(exp):
            return False
        return close(out, exp, atol)

    return agrees, close
