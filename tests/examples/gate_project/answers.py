"""The model: it knows numbers up to a largest one, and answers 0 where it sees another."""

LARGEST = 90


def answer(a: int, operation: str, b: int) -> int:
    if max(a, b) > LARGEST:
        return 0
    return {"+": a + b, "-": a - b, "*": a * b}[operation]
