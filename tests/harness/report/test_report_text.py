from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.harness.report import wording
from assay.harness.report.html import _templates
from assay.harness.report.sample_browser import packed

# Every code point, lone surrogates included: a decoder can produce them, and no file can encode them.
anything = st.text(st.characters(), max_size=60)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.title: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.title = dict(attrs).get("title", self.title)

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_escaped_text_reads_back_as_text_and_opens_nothing(hostile: str) -> None:
    reader = _Reader()
    reader.feed(f'<p title="{wording.escape(hostile)}">{wording.escape(hostile)}</p>')
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text == wording.visible(hostile)
    wording.escape(hostile).encode("utf-8")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        anything,
        st.recursive(
            anything | st.none() | st.integers(), lambda s: st.lists(s) | st.dictionaries(anything, s)
        ),
    )
)
@pytest.mark.slow
def test_packed_data_holds_the_value_and_nothing_that_could_end_its_element(value: dict[str, object]) -> None:
    encoded = packed(value)
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", encoded)
    assert json.loads(zlib.decompress(base64.b64decode(encoded))) == value


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_a_template_escapes_what_it_is_given(hostile: str) -> None:
    """Every value is escaped without the template asking for it, and what cannot be seen is spelled out."""
    template = _templates().from_string('<p title="{{ value|one_line }}">{{ value }}</p>')
    reader = _Reader()
    reader.feed(template.render(value=hostile))
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text == wording.visible(hostile)
    assert reader.title == wording.visible(" ".join(hostile.split()))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_markdown_stays_in_its_cell(hostile: str) -> None:
    cell = wording.markdown(hostile)
    assert "\n" not in cell
    assert "|" not in cell.replace("\\\\", "").replace("\\|", "")
    assert "<" not in cell.replace("\\\\", "").replace("\\<", "")


def test_what_cannot_be_seen_is_spelled_out() -> None:
    assert wording.visible("a\u202eb") == "a⟨U+202E⟩b"  # right-to-left override
    assert wording.visible("\x1b[31m") == "⟨U+001B⟩[31m"
    assert wording.visible("\ud800") == "⟨U+D800⟩"
    assert wording.visible("tab\tnew\nline é 漢 🙂") == "tab\tnew\nline é 漢 🙂"
