"""The extractor: each rule on what models really write, and never an exception."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.suites.extraction.extract import FORMS, Form, extract
from assay.suites.model import Problem

ADD = Problem(
    id="t/0",
    prompt='import math\n\n\ndef add(a, b):\n    """Return a + b."""\n',
    entry_point="add",
    checks=("assert add(1, 2) == 3",),
)
FUNCTION = "def add(a, b):\n    return a + b\n"
UNPARSABLE = "```python\ndef add(a, b:\n    return a + b\n```"

REPLIES = {
    "fence": f"Here you are:\n```python\n{FUNCTION}```\nIt adds.",
    "fence without a language": f"```\n{FUNCTION}```",
    "tilde fence": f"~~~py\n{FUNCTION}~~~",
    "unclosed fence, cut by the token limit": f"Sure!\n```python\n{FUNCTION}",
    "fence inside a list": textwrap.indent(f"```python\n{FUNCTION}```", "   "),
    "windows line ends": f"```python\n{FUNCTION}```".replace("\n", "\r\n"),
    "the second block defines it": f"First:\n```bash\npip install x\n```\nthen\n```python\n{FUNCTION}```",
    "thinking before": f"<think>maybe\n```python\ndef add(a, b): return 0\n```\n</think>\n```python\n{FUNCTION}```",
    "trailing tests and prints": f"```python\n{FUNCTION}\nassert add(1, 1) == 3\nprint(add(undefined, 2))\n```",
    "a main block": f"```python\n{FUNCTION}\nif __name__ == '__main__':\n    raise SystemExit\n```",
    "prose around bare code": f"The function is\n\n{FUNCTION}\nThat is all there is to it.",
    "a bare body": "    return a + b",
    "a body in a fence": "```python\n    return a + b\n```",
    "a body without its indentation": "if a:\n    return a + b\nreturn b",
    "a body, then another function": "    return a + b\n\ndef other():\n    pass\n",
    "a helper before it": f"```python\ndef helper():\n    return 0\n\n{FUNCTION}```",
    "needs the prompt's import": "```python\ndef add(a, b):\n    return math.floor(a + b)\n```",
}


def run(program: str) -> object:
    space: dict[str, object] = {"__name__": "__main__"}
    exec(program, space)
    return space["add"](1, 2)  # type: ignore[operator]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_correct_code_in_any_dress_is_found(reply: str) -> None:
    assert run(extract(ADD, reply, "reply").program) == 3


@pytest.mark.parametrize(
    "reply",
    [
        "```python\ndef add(a, b):\n    return a - b\n```",
        "    return a +\n",
        "```python\ndef add(a, b:\n    return a + b\n```",
        "",
        "I cannot.",
    ],
)
def test_wrong_code_is_not_mended(reply: str) -> None:
    program = extract(ADD, reply, "reply").program
    try:
        result = run(program)
    except Exception:
        return
    assert result != 3


def test_a_definition_cut_in_its_body_stays_cut() -> None:
    reply = "```python\ndef add(a, b):\n    total = a + b\n    return (total"
    with pytest.raises(SyntaxError):
        run(extract(ADD, reply, "reply").program)


def test_the_rule_is_recorded() -> None:
    assert extract(ADD, REPLIES["fence"], "reply").rule == "fence"
    assert extract(ADD, REPLIES["a bare body"], "reply").rule == "body"
    assert extract(ADD, REPLIES["trailing tests and prints"], "reply").rule == "fence-trimmed"
    assert extract(ADD, "    return 1", "completion") == (ADD.prompt + "    return 1", "completion")
    assert extract(ADD, FUNCTION, "solution") == (FUNCTION, "solution")


def test_a_line_that_holds_an_import_and_a_print_stays() -> None:
    reply = "```python\nimport math; print('hi')\ndef add(a, b):\n    return math.floor(a + b)\n```"
    assert "import math" in extract(ADD, reply, "reply").program


@pytest.mark.parametrize("depth", [400, 2500, 20000])
def test_a_condition_of_any_depth_does_not_make_it_raise(depth: int) -> None:
    reply = f"```python\n{FUNCTION}\nif {'+'.join(['1'] * depth)}:\n    pass\n```"
    assert "def add" in extract(ADD, reply, "reply").program


@pytest.mark.slow
def test_a_large_reply_takes_bounded_work() -> None:
    """A megabyte of anything: what is parsed is bounded, so none of these comes near the test's own time-out."""
    for piece in (
        "def add(a, b):\n    return a\n\nprose here\n",
        "x\n\n",
        "```python\n",
        "- `a` ",
        '"""\n```\n',
        "(((((",
        "<think>",
        "def add(",
        "return a + b\n\n",
    ):
        extract(ADD, piece * (1_000_000 // len(piece)), "reply")


PIECES = st.sampled_from(
    [
        *("```", "```python\n", "~~~\n", "\n", "    ", "\t", "\r\n", "`", '"""', "# ", ">>> ", "> ", "- "),
        *(
            "def add(a, b):\n",
            "return a + b\n",
            "class A:\n",
            "import math\n",
            "from x import y\n",
            "assert ",
        ),
        *("print(add(1, 2))\n", "if __name__ == '__main__':\n", "Here is:\n", "<think>", "</think>"),
        *("[PYTHON]", "[/PYTHON]", "<|im_end|>", "\x00", "é"),
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_a_jumble_of_what_replies_are_made_of_does_not_make_it_raise(text: str) -> None:
    extraction = extract(ADD, text, "reply")
    assert extraction.rule.split("-")[0] in ("fence", "tag", "inline", "prose", "body")


@given(st.lists(PIECES, max_size=30).map("".join))
def test_what_was_extracted_is_found_again(text: str) -> None:
    """A program that parses and defines the entry point is its own extraction, bare or in a fence."""
    once = extract(ADD, text, "reply").program
    try:
        ast.parse(once)
    except (SyntaxError, ValueError):
        return
    if "`" in once or "~" in once or "<" in once or "[" in once or '"""' in once.removeprefix(ADD.prompt):
        return  # marks of a reply within a program are marks of one again
    again = extract(ADD, f"```python\n{once}\n```", "reply").program
    assert extract(ADD, f"```python\n{again}\n```", "reply").program.split() == again.split()


@given(st.text(), st.sampled_from(FORMS))
@example("```python\n" * 50, "reply")
@example("def add(" * 2000, "reply")
@example("\x00def add(a, b):\n  return 1", "reply")
@example("<think>" * 100, "reply")
def test_no_text_makes_it_raise(text: str, form: Form) -> None:
    assert isinstance(extract(ADD, text, form).program, str)
