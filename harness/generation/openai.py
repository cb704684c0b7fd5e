"""The backend for a model behind an OpenAI-compatible server: it is asked over HTTP, several questions at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Never

from harness.endpoints import Endpoint, call, endpoint_of, first_choice
from harness.errors import BadInputError, UnmeasuredError
from harness.generation.batching import GenerationStats, check_sampling
from harness.generation.model import FinishReason, Request, Sample, Sampling
from trainers.artifact import Artifact

UNTOLD = -1  # stands for a token of whose id only the number is told


class OpenAIGenerator:
    """An endpoint behind the Generator protocol.

    The server renders chats by its own template: a rendered chat is its messages as JSON, and a prompt of that form is
    sent to /chat/completions, any other to /completions. `token_ids` are as many -1 as the server counts tokens.
    """

    def __init__(self, artifact: Artifact, *, batch_size: int) -> None:
        self._endpoint: Endpoint = endpoint_of(artifact)
        self._at_once = batch_size
        self._chats: dict[str, list[dict[str, str]]] = {}
        self.stats = GenerationStats()
        self.backend = f"OpenAI-compatible server at {self._endpoint.url}, {batch_size} requests at a time"

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        text = json.dumps({"messages": messages}, ensure_ascii=False)
        self._chats[text] = messages
        return text

    def encode(self, text: str) -> list[int]:
        self._no_weights("tokenise")

    @property
    def engine(self) -> Never:
        self._no_weights("be driven token by token")

    @property
    def vocabulary(self) -> Never:
        self._no_weights("tell its vocabulary")

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        """Samples as answers come, with `batch_size` questions under way. Raises BadInputError where the server refuses
        a request, UnmeasuredError where it keeps failing."""
        check_sampling(sampling)
        source = iter(requests)
        resumed = time.monotonic()
        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="assay-endpoint")
        try:
            running: set[Future[tuple[Sample, int]]] = set()
            while True:
                for request in islice(source, self._at_once - len(running)):
                    running.add(pool.submit(self._ask, request, sampling))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    sample, prompt_tokens = future.result()
                    self.stats.samples += 1
                    self.stats.new_tokens += len(sample.token_ids)
                    self.stats.prompt_tokens += prompt_tokens
                    self.stats.seconds += time.monotonic() - resumed
                    yield sample
                    resumed = time.monotonic()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Nothing is held."""

    def _ask(self, request: Request, sampling: Sampling) -> tuple[Sample, int]:
        messages = self._chats.get(request.prompt)
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": request.seed,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if messages is None:
            answer = call(self._endpoint.url, "POST", "completions", body | {"prompt": request.prompt})
            text = first_choice(answer).get("text")
        else:
            answer = call(self._endpoint.url, "POST", "chat/completions", body | {"messages": messages})
            text = (first_choice(answer).get("message") or {}).get("content")
        usage = answer.get("usage") or {}
        sample = Sample(
            problem_id=request.problem_id,
            index=request.index,
            seed=request.seed,
            prompt=request.prompt,
            completion=cut(str(text or ""), sampling.stop),
            token_ids=(UNTOLD,) * int(usage.get("completion_tokens") or 0),
            finish_reason=_finish(first_choice(answer).get("finish_reason"), request.problem_id),
        )
        return sample, int(usage.get("prompt_tokens") or 0)

    def _no_weights(self, what: str) -> Never:
        raise BadInputError(
            f"a model behind a server cannot {what}: {self._endpoint.url} gives texts only; name its files instead"
        )


def cut(text: str, stop: tuple[str, ...]) -> str:
    """The text before the earliest stop string: some servers look at a few of them only."""
    found = [at for at in (text.find(s) for s in stop) if at >= 0]
    return text[: min(found)] if found else text


def _finish(reason: Any, problem_id: str) -> FinishReason:
    if reason in ("stop", "length"):
        found: FinishReason = reason
        return found
    raise UnmeasuredError(
        f"{problem_id}: the server ended its answer with {reason!r}, which is neither stop nor length"
    )
