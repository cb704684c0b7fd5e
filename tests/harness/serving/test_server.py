"""The server by its real client: OpenAI's own library, over a socket, on the pocket model."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from assay.harness.cli.generate import answer
from assay.harness.errors import BadInputError
from assay.harness.generation import Sampling
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.serving.protocol import MAX_CHOICES
from assay.harness.serving.server import Options, bind
from assay.suites import load_suite
from assay.suites.model import chat_messages
from assay.trainers.artifact import Artifact
from tests.harness.serving.conftest import NAME, Running, running, wait_until

openai = pytest.importorskip("openai", reason="the dev extra's openai client is not installed")
pytestmark = pytest.mark.train

PROMPT = "def double(x):\n"
GREEDY = Sampling(max_new_tokens=24)


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=300) as made:
        yield made


@pytest.fixture(scope="module")
def questions() -> list[list[dict[str, str]]]:
    return [chat_messages(p) for p in load_suite("pocket", split="dev", limit=3).problems]


def quiet(piece: str) -> None:
    """Nobody reads along."""


def test_the_model_is_listed_with_what_it_is(client: Any, pocket: Artifact) -> None:
    listed = client.models.list().data
    assert [m.id for m in listed] == [NAME]
    assert listed[0].sha256 == pocket.sha256
    assert client.models.retrieve(NAME).max_model_len == 1024


def test_a_streamed_chat_is_what_generate_says(
    client: Any, generator: MeasuredGenerator, questions: list[list[dict[str, str]]]
) -> None:
    for messages in questions:
        wanted = answer(generator, generator.render_chat(messages), GREEDY, 0, quiet)
        chunks = list(
            client.chat.completions.create(
                model=NAME,
                messages=messages,
                temperature=0,
                max_completion_tokens=24,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == wanted.text
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == wanted.finish_reason
        assert chunks[-1].usage.completion_tokens == len(wanted.token_ids)
        assert chunks[-1].usage.prompt_tokens == wanted.prompt_tokens
        assert len({c.id for c in chunks}) == 1


def test_a_whole_chat_and_a_stream_agree(client: Any, questions: list[list[dict[str, str]]]) -> None:
    asked: dict[str, Any] = {
        "model": NAME,
        "messages": questions[0],
        "temperature": 0.9,
        "seed": 7,
        "max_tokens": 40,
    }
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(**asked, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == whole.choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_completions_of_texts_and_of_token_ids(client: Any, generator: MeasuredGenerator) -> None:
    wanted = answer(generator, PROMPT, Sampling(max_new_tokens=16), 0, quiet).text
    by_ids = generator.encode(PROMPT)
    for prompt in (PROMPT, by_ids):
        assert client.completions.create(model=NAME, prompt=prompt, temperature=0).choices[0].text == wanted
    both = client.completions.create(model=NAME, prompt=[PROMPT, PROMPT], temperature=0)
    assert [c.text for c in both.choices] == [wanted, wanted]
    streamed = client.completions.create(model=NAME, prompt=PROMPT, temperature=0, stream=True)
    assert "".join(c.choices[0].text for c in streamed) == wanted


def test_n_samples_are_n_seeds(client: Any, generator: MeasuredGenerator) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=24)
    found = client.completions.create(model=NAME, prompt=PROMPT, temperature=1, n=3, seed=40, max_tokens=24)
    wanted = [answer(generator, PROMPT, sampling, 40 + i, quiet).text for i in range(3)]
    assert [c.text for c in found.choices] == wanted
    assert len(set(wanted)) == 3
    unseeded = [
        client.completions.create(model=NAME, prompt=PROMPT, max_tokens=24).choices[0].text for _ in range(3)
    ]
    assert len(set(unseeded)) > 1


def test_stop_strings_cut_the_answer(client: Any) -> None:
    whole = client.completions.create(model=NAME, prompt=PROMPT, temperature=0, max_tokens=24).choices[0].text
    stop = whole[6:9]
    found = client.completions.create(
        model=NAME, prompt=PROMPT, temperature=0, max_tokens=24, stop=[stop, "never there"]
    ).choices[0]
    assert found.text == whole[: whole.index(stop)]
    assert found.finish_reason == "stop"


def test_many_at_once_answer_as_one_at_a_time(client: Any, questions: list[list[dict[str, str]]]) -> None:
    asked = [questions[i % len(questions)] for i in range(12)]
    found: list[str | None] = [None] * len(asked)

    def ask(i: int) -> None:
        whole = client.chat.completions.create(model=NAME, messages=asked[i], temperature=0, max_tokens=16)
        found[i] = whole.choices[0].message.content

    alone = {}
    for messages in questions:
        whole = client.chat.completions.create(model=NAME, messages=messages, temperature=0, max_tokens=16)
        alone[messages[-1]["content"]] = whole.choices[0].message.content
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [alone[messages[-1]["content"]] for messages in asked]


@pytest.mark.parametrize(
    ("change", "kind", "message", "param"),
    [
        (
            {"model": "gpt-5"},
            "NotFoundError",
            "'gpt-5' is not served here; this server has 'pocket'",
            "model",
        ),
        (
            {"temperature": 3},
            "BadRequestError",
            "temperature = 3 is not allowed: it must be a number, at least 0 and at most 2",
            "temperature",
        ),
        (
            {"messages": []},
            "BadRequestError",
            "messages = [] is not allowed: it must be a list of at least 1",
            "messages",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "BadRequestError", "messages.0.role", "messages"),
        (
            {"tools": [{"type": "function"}]},
            "BadRequestError",
            "is not allowed: it must be a list of at most 0",
            "tools",
        ),
        ({"logprobs": True}, "BadRequestError", "logprobs", "logprobs"),
        ({"presence_penalty": 0.5}, "BadRequestError", "presence_penalty", "presence_penalty"),
        (
            {"response_format": {"type": "json_object"}},
            "BadRequestError",
            "response_format.type",
            "response_format",
        ),
        ({"extra_body": {"max_token": 3}}, "BadRequestError", "did you mean 'max_tokens'", "max_token"),
        (
            {"messages": [{"role": "user", "content": "word " * 3000}]},
            "BadRequestError",
            "there is room for 1024",
            None,
        ),
    ],
)
def test_errors_are_openais(
    client: Any, change: dict[str, Any], kind: str, message: str, param: str | None
) -> None:
    asked = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4} | change
    with pytest.raises(getattr(openai, kind), match=re.escape(message)) as caught:
        client.chat.completions.create(**asked)
    assert caught.value.body["type"] == "invalid_request_error"
    assert caught.value.body["param"] == param


def test_what_is_no_request_is_told_so(server: Running) -> None:
    root = server.url.removesuffix("/v1")
    for response, status, words in (
        (
            requests.post(f"{server.url}/completions", data=b"{not json", timeout=300),
            400,
            "the body is not JSON",
        ),
        (
            requests.post(f"{server.url}/completions", json=[1], timeout=300),
            400,
            "is not allowed: it must be a table",
        ),
        (requests.get(f"{server.url}/embeddings", timeout=300), 404, "no such endpoint: GET /v1/embeddings"),
        (requests.get(f"{server.url}/completions", timeout=300), 405, "no such endpoint: GET"),
        (requests.post(f"{server.url}/completions", data=b"x" * (17 << 20), timeout=300), 413, "larger than"),
    ):
        assert response.status_code == status
        assert words in response.json()["error"]["message"]
    assert requests.get(f"{root}/health", timeout=300).json() == {"status": "ok", "model": NAME}
    ids = requests.post(f"{server.url}/completions", json={"model": NAME, "prompt": [5, 9999]}, timeout=300)
    assert "token id 9999 is not below the vocabulary, 896" in ids.json()["error"]["message"]


def test_a_client_that_leaves_frees_its_place(client: Any, server: Running) -> None:
    scheduler = server.api.scheduler
    before = scheduler.counts.cancelled
    # As many answers as may be asked for, at most 8 of them at a time: a few seconds, whatever the luck of the draw.
    asked: dict[str, Any] = {"model": NAME, "prompt": PROMPT, "temperature": 2, "max_tokens": 1000, "seed": 0}
    asked["n"] = MAX_CHOICES
    stream = client.completions.create(**asked, stream=True)
    next(iter(stream))
    stream.close()
    impatient = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        impatient.completions.create(**asked)
    impatient.close()
    wait_until(lambda: scheduler.running == 0 and scheduler.waiting == 0)
    assert scheduler.counts.cancelled > before


def test_metrics_are_prometheus_text(client: Any, server: Running) -> None:
    client.completions.create(model=NAME, prompt=PROMPT, temperature=0, max_tokens=8)
    response = requests.get(f"{server.url.removesuffix('/v1')}/metrics", timeout=300)
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    line = re.compile(r'^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+)$')
    lines = response.text.splitlines()
    assert [text for text in lines if not line.match(text)] == []
    values = dict(text.rsplit(" ", 1) for text in lines if not text.startswith("#"))
    assert float(values["assay_generated_tokens_total"]) >= 8
    assert float(values['assay_http_responses_total{path="/v1/completions",status="200"}']) >= 1
    buckets = [
        float(v) for k, v in values.items() if k.startswith("assay_time_to_first_token_seconds_bucket")
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == float(values["assay_time_to_first_token_seconds_count"]) > 0


def test_a_key_is_asked_for_where_one_is_set(generator: MeasuredGenerator, pocket: Artifact) -> None:
    with running(generator, pocket, Options(parallel=1, api_key="s3cret")) as found:
        for wrong in ("", "s3cre", "s3cret2"):
            with (
                openai.OpenAI(base_url=found.url, api_key=wrong or "none", max_retries=0) as client,
                pytest.raises(openai.AuthenticationError, match="a valid API key is required"),
            ):
                client.models.list()
        with openai.OpenAI(base_url=found.url, api_key="s3cret", max_retries=0) as client:
            assert client.models.list().data[0].id == NAME
        assert requests.get(f"{found.url.removesuffix('/v1')}/health", timeout=300).ok


def test_a_full_house_says_come_again(generator: MeasuredGenerator, pocket: Artifact) -> None:
    with (
        running(generator, pocket, Options(parallel=1, queue_limit=1)) as found,
        openai.OpenAI(base_url=found.url, api_key="none", max_retries=0) as client,
    ):
        asked = {
            "model": NAME,
            "prompt": [PROMPT, PROMPT + "#", PROMPT + "##"],
            "max_tokens": 400,
            "temperature": 2,
        }
        with pytest.raises(openai.RateLimitError, match="1 requests are waiting") as caught:
            client.completions.create(**asked)
        assert caught.value.response.headers["retry-after"] == "1"
        wait_until(lambda: found.api.scheduler.running == 0)


def test_a_port_that_is_taken_is_named() -> None:
    taken = bind("127.0.0.1", 0)
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(BadInputError, match=f"cannot listen on 127.0.0.1 port {port}"):
        bind("127.0.0.1", port)
    taken.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_whose_generation_thread_has_died_answers_503(
    generator: MeasuredGenerator, pocket: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise SystemExit("a driver's own end")

    asked = {"model": NAME, "prompt": PROMPT, "max_tokens": 2}
    with running(generator, pocket, Options(parallel=1)) as found:
        monkeypatch.setattr(found.api.scheduler, "_turn", die)
        first = requests.post(f"{found.url}/completions", json=asked, timeout=300)
        later = requests.post(f"{found.url}/completions", json=asked, timeout=300)
        wait_until(lambda: not found.api.scheduler.alive)
        health = requests.get(found.url.removesuffix("/v1") + "/health", timeout=300)
    assert (first.status_code, later.status_code, health.status_code) == (500, 503, 503)
    assert later.json()["error"]["code"] == "server_stopped"
    for answer_ in (first, later):
        assert "the generation thread has died (SystemExit" in answer_.json()["error"]["message"]
