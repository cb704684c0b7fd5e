"""The batching: every request answered once, the same whatever its neighbours, with an engine made of arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.generation import GenerationStats, Request, Sample, Sampling
from assay.harness.generation.batching import run_batches
from assay.harness.generation.token_choice import Draws, mix64

END = 0


class ArithmeticEngine:
    """A language of ten tokens whose next one is a hash of all before it and of the draw."""

    pieces = tuple(bytes([ord("a") + i]) for i in range(10))
    end_ids = frozenset({END})
    context = 40

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.room = 0
        self.most = 0
        self.prefills = 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) % 10 for c in text]

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        self.rows, self.room, self.tokens_per_row = [], rows, tokens_per_row

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        self.prefills += len(prompts)
        new = [list(p) for p, n in zip(prompts, copies, strict=True) for _ in range(n)]
        self.rows += new
        assert len(self.rows) <= self.room
        self.most = max(self.most, len(self.rows))
        return self.choose(new, draws)

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        assert len(tokens) == len(self.rows)
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
            assert len(row) <= self.tokens_per_row
        return self.choose(self.rows, draws)

    def remove(self, row: int) -> None:
        self.rows[row] = self.rows[-1]
        self.rows.pop()

    @staticmethod
    def choose(rows: Sequence[Sequence[int]], draws: Draws) -> list[int]:
        return [
            mix64(hash(tuple(row)) % 2**64 ^ key) % 10 for row, key in zip(rows, draws.keys(), strict=True)
        ]


def alone(request: Request, sampling: Sampling) -> Sample:
    return next(iter(run_batches(ArithmeticEngine(), [request], sampling, 1, GenerationStats())))


REQUESTS = st.lists(
    st.tuples(st.text("abcxyz", min_size=1, max_size=30), st.integers(0, 50)), min_size=1, max_size=25
).map(lambda rows: [Request(f"p/{prompt}", i, prompt, seed) for i, (prompt, seed) in enumerate(rows)])


@given(REQUESTS, st.integers(1, 9), st.integers(1, 30), st.sampled_from([(), ("bc",), ("d", "ef")]))
def test_a_sample_does_not_depend_on_its_neighbours(
    requests: list[Request], batch_size: int, longest: int, stop: tuple[str, ...]
) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=longest, stop=stop)
    engine, stats = ArithmeticEngine(), GenerationStats()
    samples = list(run_batches(engine, requests, sampling, batch_size, stats))
    assert sorted(s.index for s in samples) == list(range(len(requests)))
    for sample in samples:
        assert sample == alone(requests[sample.index], sampling)
    assert engine.most <= batch_size
    assert (stats.samples, stats.new_tokens) == (len(samples), sum(len(s.token_ids) for s in samples))


@given(REQUESTS)
def test_limits_and_ends(requests: list[Request]) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    for sample in run_batches(ArithmeticEngine(), requests, sampling, 4, GenerationStats()):
        room = ArithmeticEngine.context - len(sample.prompt)
        assert END not in sample.token_ids
        assert len(sample.token_ids) <= min(12, room)
        assert (sample.finish_reason == "length") == (len(sample.token_ids) == min(12, room)) or (
            sample.finish_reason == "stop"
        )


def test_samples_of_one_prompt_share_its_prefill() -> None:
    requests = [Request("p", i, "abc", i) for i in range(8)] + [Request("q", 0, "xyz", 0)]
    engine, stats = ArithmeticEngine(), GenerationStats()
    assert len(list(run_batches(engine, requests, Sampling(temperature=1.0), 16, stats))) == 9
    assert engine.prefills == 2
    assert stats.prompt_tokens == 6


def test_samples_come_before_the_last_is_done() -> None:
    requests = [Request("p", i, "a" * (1 + i % 7), i) for i in range(40)]
    engine = ArithmeticEngine()
    stream = run_batches(engine, requests, Sampling(temperature=1.0, max_new_tokens=20), 4, GenerationStats())
    next(stream)
    assert engine.prefills < 7


def test_no_requests_no_samples() -> None:
    assert list(run_batches(ArithmeticEngine(), [], Sampling(), 4, GenerationStats())) == []


@pytest.mark.parametrize(
    ("prompt", "sampling", "says"),
    [
        ("a" * 40, Sampling(), "the prompt of p/7 has 40 tokens and the model's context is 40"),
        ("", Sampling(), "the prompt of p/7 is empty"),
        ("a", Sampling(temperature=-1), "temperature"),
        ("a", Sampling(top_p=0), "top_p"),
        ("a", Sampling(top_k=-1), "top_k"),
        ("a", Sampling(max_new_tokens=0), "max_new_tokens"),
        ("a", Sampling(stop=("",)), "empty stop string"),
    ],
)
def test_what_cannot_be_done_is_refused(prompt: str, sampling: Sampling, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        list(run_batches(ArithmeticEngine(), [Request("p/7", 0, prompt, 0)], sampling, 4, GenerationStats()))
