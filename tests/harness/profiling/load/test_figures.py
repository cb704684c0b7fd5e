"""Figures of a load by hand, and events wherever a body is cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.profiling.load.client import Events
from assay.harness.profiling.load.figures import NOT_COUNTED, of_level, percentile, spread, summarise


def request(number: int, **changes: Any) -> dict[str, Any]:
    """Sent at 100 s; text after 0.5, 0.7 and 1.1 s, the finish reason after 1.3 s; 5 tokens."""
    return {
        "event": "request",
        "concurrency": 2,
        "number": number,
        "warmup": False,
        "sent": 100.0,
        "status": "done",
        "detail": "",
        "pieces_s": [0.5, 0.7, 1.1],
        "end_s": 1.3,
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "finish_reason": "stop",
    } | changes


def end(seconds: float = 4.0, given_up: bool = False) -> dict[str, Any]:
    return {"event": "level", "concurrency": 2, "seconds": seconds, "given_up": given_up}


def test_the_definitions_by_hand() -> None:
    found = of_level(
        2, [request(0, warmup=True, pieces_s=[9.0], end_s=9.0), request(1), request(2)], end(), 2
    )
    assert (found["requests"], found["done"], found["warmup_dropped"], found["not_sent"]) == (2, 2, 1, 0)
    assert found["ttft_s"]["mean"] == 0.5
    assert found["e2e_s"]["mean"] == 1.3
    assert found["tpot_s"]["mean"] == pytest.approx((1.3 - 0.5) / 4)
    assert found["itl_s"]["n"] == 4
    assert found["itl_s"]["mean"] == pytest.approx(0.3)
    assert found["tokens_per_event"] == pytest.approx(5 / 3)
    assert found["requests_per_s"] == 0.5
    assert found["output_tok_per_s"] == 10 / 4
    assert found["total_tok_per_s"] == 24 / 4
    assert found["unmeasured"] == {}


def test_failures_are_counted_by_kind_and_never_a_latency() -> None:
    bad = [request(i, status="stalled", detail="nothing came for 1 s", pieces_s=[0.1]) for i in range(2)]
    bad.append(request(3, status="status 500", detail="out of memory", pieces_s=[], end_s=None))
    found = of_level(2, [*bad, request(4)], end(given_up=True), 9)
    assert found["errors"] == {"stalled": 2, "status 500": 1}
    assert found["error_example"] == "nothing came for 1 s"
    assert (found["done"], found["ttft_s"]["n"], found["ttft_s"]["mean"]) == (1, 1, 0.5)
    assert (found["given_up"], found["not_sent"]) == (True, 5)
    assert found["output_tokens"] == 5


def test_what_is_not_counted_is_unmeasured_and_not_guessed() -> None:
    found = of_level(2, [request(0, completion_tokens=None), request(1)], end(), 2)
    assert found["unmeasured"] == {"tokens": f"{NOT_COUNTED}: 1 of 2"}
    assert {"tpot_s", "output_tok_per_s", "total_tok_per_s", "tokens_per_event"}.isdisjoint(found)
    assert found["ttft_s"]["n"] == 2
    assert found["requests_per_s"] == 0.5


def test_short_and_empty_answers_have_no_tpot() -> None:
    empty = request(0, pieces_s=[], completion_tokens=0, end_s=0.2)
    one = request(1, pieces_s=[0.4], completion_tokens=1, end_s=0.4)
    found = of_level(2, [empty, one], end(), 2)
    assert (found["tpot_s"], found["itl_s"], found["without_text"]) == (None, None, 1)
    assert (found["ttft_s"]["n"], found["e2e_s"]["n"]) == (1, 2)


def test_nothing_answered_and_a_level_cut_short() -> None:
    found = of_level(2, [request(0, status="no connection")], end(), 1)
    assert found["unmeasured"]["latency"] == "no request was answered: {'no connection': 1}"
    assert "ttft_s" not in found
    cut = of_level(2, [request(0)], None, 3)
    assert cut["unmeasured"] == {"throughput": "the measurement was interrupted"}
    assert cut["ttft_s"]["n"] == 1
    assert "output_tok_per_s" not in cut


def test_a_summary_names_what_is_unmeasured_by_level() -> None:
    start = {
        "event": "start",
        "endpoint": {"url": "http://x/v1", "model": "m"},
        "created": "",
        "client": {},
        "load_average": (0, 0, 0),
        "workload": {"levels": [2, 8], "requests": 1},
    }
    made = summarise([start, request(0), end()], "raw.jsonl")
    assert [level["concurrency"] for level in made["levels"]] == [2, 8]
    assert set(made["unmeasured"]) == {"latency at 8", "throughput at 8"}


def test_a_percentile_needs_values_beyond_it() -> None:
    hundred = [float(i) for i in range(1, 101)]
    assert percentile(hundred, 50) == 50
    assert percentile(hundred, 95) == 95
    assert percentile(hundred, 99) is None
    assert percentile(hundred * 5, 99) is not None
    assert percentile([3.0], 50) == 3.0
    assert spread([]) is None
    one = spread([3.0])
    assert one is not None
    assert (one["n"], one["sd"], one["p90"]) == (1, None, None)


@given(
    st.lists(st.text("ab {é😀", max_size=6), max_size=6),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_events_survive_any_cut(texts: list[str], cuts: list[int]) -> None:
    body = "".join(f": a comment\ndata: {text}\n\n" for text in texts).encode()
    places = sorted(min(cut, len(body)) for cut in cuts)
    events = Events()
    parts = zip([0, *places], [*places, len(body)], strict=True)
    assert [e for a, b in parts for e in events.feed(body[a:b])] == [text.strip() for text in texts]
