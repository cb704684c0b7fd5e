"""Chat templates outside transformers, rendered as transformers renders them.

A template in a GGUF file was written for transformers' `apply_chat_template`, so it may use what is defined there: the
special tokens' texts, `raise_exception`, `strftime_now`, `tojson` that escapes no HTML, loop controls, `generation`
blocks, and `tools` and `documents`, which are None. A model asked in another rendering is asked another question.
Source: transformers/utils/chat_template_utils.py, v5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Never

from harness.errors import BadInputError

if TYPE_CHECKING:
    from jinja2 import Template


def render(template: str, messages: list[dict[str, str]], special: Mapping[str, str]) -> str:
    """`messages` with the generation prompt appended. `special` are the special tokens' texts by their names in
    transformers (bos_token, eos_token, …); one that is missing is undefined in the template, as there.

    Raises BadInputError where the template is broken, or refuses these messages (many allow no system turn).
    """
    from jinja2.exceptions import TemplateError

    given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
    try:
        return _compiled(template).render(**given, **special)
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        raise BadInputError(f"the model's chat template cannot be rendered: {e}") from e


@cache
def _compiled(template: str) -> Template:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what a trainer learns from; in a prompt its body stands as it is. A scope of its
        own, as the macro that transformers makes of it."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own way

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def raise_exception(message: str) -> Never:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
