"""Whether a program has a place to keep anything between two calls, as far as its text shows.

Looked at before a pass is confirmed in a fresh candidate: a program that keeps nothing answers each question for
itself, whatever was asked before. What is not plainly harmless counts as a place. No tree is built: this is asked of
many samples, and only a few characters of most have to be looked at.
"""

from __future__ import annotations

import re

_MODULES = (
    "bisect|cmath|collections|copy|fractions|heapq|itertools|math|re|statistics|string|typing|__future__"
)
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*',
    re.DOTALL,
)
_FORMATTED = re.compile(r"[fF](?<![a-qs-zA-QS-Z\d_].)[rR]?['\"]")
_IMPORT = re.compile(
    rf"^[ \t]*(?:from +(?:{_MODULES}) +import +|from +functools +import +(?=reduce *$|cmp_to_key *$)"
    rf"|(?=import +(?:{_MODULES})(?: *, *(?:{_MODULES}))* *$))"
    r"(?:import +(?P<modules>[\w, ]+)|(?P<names>[\w, ]+)) *$",
    re.MULTILINE,
)
_HEADER = re.compile(r"^[ \t]*def +(\w+) *\(([^()]*)\) *(?:->[^:\n()]*)?:", re.MULTILINE)
# Texts have become the number 0 by then.
_MUTABLE_DEFAULT = re.compile(r"=(?! *(?:None|True|False|-?[\d.]+) *(?:,|$))", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(?!0[0 ]*$)[^ \t\n)]", re.MULTILINE)
_PLACE = re.compile(
    r"\b(?:global|nonlocal|class|import|exec|eval|compile|globals|locals|vars|getattr|setattr|delattr|open|input|id|"
    r"breakpoint|help|exit|quit|copyright|credits|license|async|await)\b|__|@|\.\s*_|;|\\|['\"]|[^\n\t -~]"
)
_NOT_CALLED = re.compile(r"(?<![.\w])([A-Za-z]\w*)(?!\w| *[(\[])")
_NOT_A_PART = re.compile(
    r"(?<![.\w])([A-Za-z]\w*)(?!\w|\.\w+ *\(|\.(?:pi|e|inf|nan|ascii_letters|ascii_lowercase|ascii_uppercase|digits"
    r"|punctuation)\b *(?:[)\]\n]|[-+*/<>%](?![=/*])))"
)


def keeps_nothing(source: str) -> bool:
    """Return whether the text shows that no call can leave anything for a later one."""
    if _FORMATTED.search(source):
        return False
    code = _TEXT.sub("0", source)
    functions = _HEADER.findall(code)
    if len(functions) != code.count("def ") or "def\t" in code or "def\\" in code:
        return False
    if any(_MUTABLE_DEFAULT.search(parameters.replace("\n", " ")) for _, parameters in functions):
        return False
    imports = _IMPORT.findall(code)
    code = _IMPORT.sub("", _HEADER.sub("", code))
    if _PLACE.search(code) or _TOP_LEVEL.search(code):
        return False
    called = {name for name, _ in functions}
    called.update(_last_words(names for _, names in imports))
    modules = _last_words(names for names, _ in imports)
    return not _used_as_object(code, called, modules)


def _last_words(lists: object) -> set[str]:
    return {words.split()[-1] for names in lists for words in names.split(",") if words.strip()}  # type: ignore[attr-defined]


def _used_as_object(code: str, called: set[str], modules: set[str]) -> bool:
    """Return whether a function is used other than by calling it, or a module other than by its functions and
    constants: they stay from call to call, and whoever has them as objects can leave something there."""
    if not called.isdisjoint(_NOT_CALLED.findall(code)):
        return True
    return bool(modules) and not modules.isdisjoint(_NOT_A_PART.findall(code))
