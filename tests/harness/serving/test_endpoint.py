"""A model behind a server as a model to evaluate: against our own server, and against ones that misbehave."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.generation import Request, Sample, Sampling, load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.generation.openai_client import UNKNOWN_ID, OpenAIGenerator, cut
from assay.harness.models import resolve
from assay.harness.models.resolve import Endpoint, endpoint_of, resolve_endpoint, resolve_model
from assay.harness.pipeline.steps.generate import NOT_COUNTED, load_samples, seed_of
from assay.harness.serving.server import Options
from assay.suites import load_suite
from assay.suites.model import chat_messages
from assay.trainers.artifact import Artifact, ArtifactKind
from tests.harness.serving.conftest import Running, running

ROOT = Path(__file__).parents[3]
Reply = Callable[[str, dict[str, Any], int], tuple[int, Any]]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_MODEL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(resolve.time, "sleep", lambda seconds: None)


def samples(generator: Any, sampling: Sampling, style: str, n: int = 1) -> dict[tuple[str, int], Sample]:
    problems = load_suite("pocket", split="dev", limit=5).problems
    asked = []
    for problem in problems:
        prompt = generator.render_chat(chat_messages(problem)) if style == "chat" else problem.prompt
        asked += [Request(problem.id, i, prompt, seed_of(0, problem.id, i)) for i in range(n)]
    return {(s.problem_id, s.index): s for s in generator.generate(asked, sampling)}


@pytest.mark.train
@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_our_server_gives_the_samples_of_the_file(
    server: Running, generator: MeasuredGenerator, style: str, temperature: float
) -> None:
    """Greedy and sampled, for a sample's draws come from its seed wherever it is drawn."""
    n = 1 if temperature == 0 else 2
    sampling = Sampling(temperature, 0.95, 0, 24, ("\n\n",) if style == "completion" else ())
    remote = load_generator(resolve_model(server.url), batch_size=4)
    assert isinstance(remote, OpenAIGenerator)
    found = samples(remote, sampling, style, n)
    there, here = found, samples(generator, sampling, style, n)
    assert {k: s.completion for k, s in there.items()} == {k: s.completion for k, s in here.items()}
    assert {k: s.finish_reason for k, s in there.items()} == {k: s.finish_reason for k, s in here.items()}
    assert {k: len(s.token_ids) for k, s in there.items()} == {k: len(s.token_ids) for k, s in here.items()}
    assert set(next(iter(there.values())).token_ids) == {UNKNOWN_ID}
    assert remote.stats.samples == len(there)
    assert remote.stats.new_tokens == sum(len(s.token_ids) for s in here.values())
    remote.close()


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.gguf
def test_eval_scores_the_server_as_it_scores_the_file(kinds: dict[str, Artifact], tmp_path: Path) -> None:
    """On a model stored in fp32, whose answers do not depend on how many are computed at once."""
    artifact, rows = kinds["merged"], {}
    served = load_generator(artifact, batch_size=4, threads=1)
    with running(served, artifact, Options(parallel=4)) as server:
        for model in (server.url, str(artifact.path)):
            asked = [
                "eval",
                model,
                "--suite",
                "pocket",
                "--split",
                "dev",
                "--limit",
                "8",
                "--max-new-tokens",
                "48",
            ]
            done = CliRunner().invoke(
                app,
                [*asked, "--results", str(tmp_path), "--json", "-q", "--allow-weak"],
                catch_exceptions=False,
            )
            assert done.exit_code == 0, done.output
            rows[model] = json.loads(done.stdout)["rows"][0]
    served.close()
    there, here = rows.values()
    assert there["kind"] == "endpoint"
    assert there["size_bytes"] is None
    assert there["outcomes"] == here["outcomes"]
    assert sum(here["outcomes"].values()) == 8


@pytest.mark.parametrize(
    "told", [{}, {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}], ids=["no", "usage"]
)
def test_a_speed_is_told_where_tokens_are_counted(fake: Any, told: dict[str, Any], tmp_path: Path) -> None:
    def reply(path: str, body: dict[str, Any], _n: int) -> tuple[int, Any]:
        if path.endswith("/models"):
            return 200, models("a/b")
        if "min_p" in body:
            return 400, {"error": {"message": "min_p is unknown"}}
        return 200, {"choices": chat("pass")["choices"]} | told

    sampling = ["--n", "2", "--temperature", "0.5"]
    asked = ["eval", fake(reply).url, "--suite", "pocket", "--split", "dev", "--limit", "2", *sampling]
    kept = ["--results", str(tmp_path), "--json", "-q", "--allow-weak"]
    done = CliRunner().invoke(app, [*asked, *kept], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)["rows"][0]
    assert "it refused min_p: the server's own min_p applies" in row["backend"]
    if told:
        assert row["tokens"] == 2 * 4
        assert row["tok_per_s"] > 0
        assert row["unmeasured"].keys().isdisjoint({"tokens", "tok_per_s"})
    else:
        assert row["tokens"] is row["tok_per_s"] is None
        assert row["unmeasured"]["tok_per_s"] == row["unmeasured"]["tokens"] == NOT_COUNTED
        (table,) = tmp_path.rglob("samples.parquet")
        assert [s.counted for s in load_samples(table.parent)] == [False] * 4


class Fake:
    """A server that answers as it is told, counting what it was asked."""

    def __init__(self, reply: Reply) -> None:
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                n = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(n)) if n else {}
                fake.asked.append((self.path, body, self.headers.get("authorization", "")))
                status, value = reply(self.path, body, len(fake.asked))
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _answer  # noqa: N815

            def log_message(self, format: str, *values: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake() -> Iterator[Callable[[Reply], Fake]]:
    made: list[Fake] = []

    def start(reply: Reply) -> Fake:
        made.append(Fake(reply))
        return made[-1]

    yield start
    for one in made:
        one.close()


def models(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def chat(text: str | None, finish: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


def plain(path: str, *_: object) -> tuple[int, Any]:
    return (200, models("a/b")) if path.endswith("/models") else (200, chat("return x"))


def endpoint(url: str) -> Artifact:
    return Artifact(ArtifactKind.ENDPOINT, Endpoint(url, "a/b").path, "0" * 64)


def one(generator: OpenAIGenerator, sampling: Sampling | None = None) -> Sample:
    prompt = generator.render_chat([{"role": "user", "content": "hi"}])
    (found,) = generator.generate([Request("p", 0, prompt, 5)], sampling or Sampling())
    return found


def test_an_address_survives_the_artifact() -> None:
    for url in ("http://127.0.0.1:8000/v1", "https://host.example/api/v1"):
        artifact = Artifact(ArtifactKind.ENDPOINT, Endpoint(url, "org/name:tag").path, "")
        assert endpoint_of(artifact) == Endpoint(url, "org/name:tag")


def test_a_servers_own_hash_is_the_models(fake: Any) -> None:
    listed = models("a/b")
    listed["data"][0]["sha256"] = "f" * 64
    first, second = fake(lambda *_: (200, listed)), fake(plain)
    assert resolve_endpoint(first.url).sha256 == resolve_endpoint(first.url + "/").sha256
    assert len(first.asked) == 2  # no question to the model is needed
    found = resolve_endpoint(second.url)
    assert "which weights is not known" in found.recipe
    assert found.kind is ArtifactKind.ENDPOINT


def test_another_answer_behind_an_address_is_another_model(fake: Any) -> None:
    said = ["one"]
    server = fake(
        lambda path, body, n: (200, models("a/b")) if path.endswith("models") else (200, chat(said[0]))
    )
    before = resolve_endpoint(server.url).sha256
    assert resolve_endpoint(server.url).sha256 == before
    said[0] = "two"
    assert resolve_endpoint(server.url).sha256 != before


def test_name_and_key_come_from_the_environment(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake(
        lambda path, body, n: (200, models("a", "b")) if path.endswith("models") else (200, chat("x"))
    )
    with pytest.raises(BadInputError, match="serves several models: set OPENAI_MODEL to one of a, b"):
        resolve_endpoint(server.url)
    monkeypatch.setenv("OPENAI_MODEL", "c")
    with pytest.raises(BadInputError, match=r"OPENAI_MODEL is 'c', and .* serves: a, b"):
        resolve_endpoint(server.url)
    monkeypatch.setenv("OPENAI_MODEL", "b")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    artifact = resolve_endpoint(server.url)
    assert endpoint_of(artifact).model == "b"
    assert {key for _, _, key in server.asked[-2:]} == {"Bearer s3cret"}
    assert "s3cret" not in repr(artifact)


def test_the_request_says_what_was_asked_and_no_more(fake: Any) -> None:
    server = fake(plain)
    generator = OpenAIGenerator(endpoint(server.url), batch_size=1)
    found = one(generator, Sampling(0.7, 0.9, 40, 99, ("\nclass",)))
    assert found.completion == "return x"
    assert found.token_ids == (UNKNOWN_ID, UNKNOWN_ID)
    path, body, _ = server.asked[-1]
    assert path == "/v1/chat/completions"
    sampling = {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0,
        "repetition_penalty": 1,
        "max_tokens": 99,
        "stop": ["\nclass"],
        "seed": 5,
    }
    assert body == sampling | {"model": "a/b", "messages": [{"role": "user", "content": "hi"}]}
    one(generator)
    off = {"top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1}
    assert server.asked[-1][1].items() >= off.items()
    assert set(server.asked[-1][1]) == {"model", "messages", "max_tokens", "temperature", "seed", *off}


def test_what_a_server_refuses_is_left_to_it_and_said(fake: Any) -> None:
    """As OpenAI refuses (one name at a time), and as servers do that check with pydantic (all at once)."""

    def openais(_path: str, body: dict[str, Any], _n: int) -> tuple[int, Any]:
        for name in ("top_k", "min_p", "repetition_penalty"):
            if name in body:
                return 400, {"error": {"message": f"Unrecognized request argument supplied: {name}"}}
        return 200, chat("x")

    def pydantics(_path: str, body: dict[str, Any], _n: int) -> tuple[int, Any]:
        extra = [name for name in ("top_k", "min_p", "repetition_penalty") if name in body]
        detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "x" * 300} for name in extra]
        return (422, {"detail": detail}) if extra else (200, chat("x"))

    for reply, tries in ((openais, 5), (pydantics, 3)):  # top_k is tried as 0 and as -1
        server = fake(reply)
        generator = OpenAIGenerator(endpoint(server.url), batch_size=1)
        one(generator, Sampling(0.8))
        assert len(server.asked) == tries
        assert server.asked[-1][1]["top_p"] == 1
        for name in ("top_k", "min_p", "repetition_penalty"):
            assert f"the server's own {name} applies" in generator.backend
        assert "top_p" not in generator.backend
        one(generator)
        assert len(server.asked) == tries + 1
        assert "top_k" not in generator.backend  # it changes no greedy answer
        assert "the server's own repetition_penalty applies" in generator.backend
        with pytest.raises(BadInputError, match=r"status 4\d\d: .*top_k"):
            one(generator, Sampling(0.8, top_k=5))


def test_an_older_vllm_is_told_top_k_is_off_as_it_wants_it(fake: Any) -> None:
    def reply(_path: str, body: dict[str, Any], _n: int) -> tuple[int, Any]:
        if body["top_k"] == 0:
            return 400, {"object": "error", "message": "top_k must be -1 (disable), or at least 1, got 0."}
        return 200, chat("x")

    server = fake(reply)
    generator = OpenAIGenerator(endpoint(server.url), batch_size=2)
    prompt = generator.render_chat([{"role": "user", "content": "hi"}])
    asked = [Request("p", i, prompt, i) for i in range(6)]
    assert len(list(generator.generate(asked, Sampling(0.8)))) == 6
    assert [body["top_k"] for _, body, _ in server.asked].count(-1) == 6
    assert "own" not in generator.backend


def test_tokens_that_a_server_does_not_count_are_not_counted(fake: Any) -> None:
    for told, counted, n in (({}, False, 0), ({"usage": {"completion_tokens": 0}}, True, 0)):
        answer = {"choices": chat("x")["choices"]} | told
        server = fake(lambda *_, answer=answer: (200, answer))
        found = one(OpenAIGenerator(endpoint(server.url), batch_size=1))
        assert (found.counted, len(found.token_ids)) == (counted, n)


def test_a_busy_server_is_asked_again(fake: Any) -> None:
    busy = 503, {"error": {"message": "loading"}}
    server = fake(lambda path, body, n: busy if n < 3 else (200, chat("there")))
    assert one(OpenAIGenerator(endpoint(server.url), batch_size=1)).completion == "there"
    assert len(server.asked) == 3


def test_a_server_that_keeps_failing_is_unmeasured(fake: Any) -> None:
    server = fake(lambda *_: (500, {"error": {"message": "CUDA out of memory"}}))
    with pytest.raises(
        UnmeasuredError, match="did not answer in 5 tries; last: status 500: CUDA out of memory"
    ):
        one(OpenAIGenerator(endpoint(server.url), batch_size=1))
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("status", "value", "kind", "message"),
    [
        (400, {"error": {"message": "context too long"}}, BadInputError, "status 400: context too long"),
        (401, {"error": {"message": "no key"}}, BadInputError, "the key is taken from OPENAI_API_KEY"),
        (404, b"<html>nothing</html>", BadInputError, "status 404: <html>nothing</html>"),
        (200, b"not json", UnmeasuredError, "is not a JSON object: 'not json'"),
        (200, {"choices": []}, UnmeasuredError, "has no choices"),
        (200, chat("x", "content_filter"), UnmeasuredError, "with 'content_filter'"),
    ],
)
def test_other_answers_are_told_as_they_are(
    fake: Any, status: int, value: Any, kind: Any, message: str
) -> None:
    server = fake(lambda *_: (status, value))
    with pytest.raises(kind, match=message):
        one(OpenAIGenerator(endpoint(server.url), batch_size=1))
    assert len(server.asked) == 1


def test_no_server_is_told_at_once(fake: Any) -> None:
    server = fake(plain)
    server.close()
    with pytest.raises(BadInputError, match=r"no OpenAI-compatible server answers at .*ConnectionError"):
        resolve_model(server.url)
    for listed in ({"data": []}, {"models": ["x"]}):
        other = fake(lambda *_, listed=listed: (200, listed))
        with pytest.raises(BadInputError, match="lists no model"):
            resolve_model(other.url)


INTERRUPTED = """
import signal, sys
from pathlib import Path
from assay.harness.generation import Request, Sampling
from assay.harness.generation.openai_client import OpenAIGenerator
from assay.trainers.artifact import Artifact, ArtifactKind
signal.signal(signal.SIGINT, signal.default_int_handler)
generator = OpenAIGenerator(Artifact(ArtifactKind.ENDPOINT, Path(sys.argv[1]), "0" * 64), batch_size=2)
list(generator.generate([Request("p", i, "x", i) for i in range(4)], Sampling()))
"""


def test_ctrl_c_ends_the_process_while_the_server_is_silent(fake: Any) -> None:
    asked, released = threading.Semaphore(0), threading.Event()

    def silent(*_: object) -> tuple[int, Any]:
        asked.release()
        released.wait(600)
        return 500, {}

    address = str(Endpoint(fake(silent).url, "a/b").path)
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, address], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        for _ in range(2):  # both that may be under way are
            assert asked.acquire(timeout=300)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
        released.set()
        process.communicate()
    assert said.strip().endswith(b"KeyboardInterrupt")


def test_an_empty_answer_is_an_answer_and_stops_are_cut(fake: Any) -> None:
    server = fake(lambda *_: (200, chat(None)))
    assert one(OpenAIGenerator(endpoint(server.url), batch_size=1)).completion == ""
    assert cut("a\nb\nc", ("\nc", "\nb")) == "a"
    assert cut("abc", ()) == "abc"


def test_what_needs_weights_is_refused() -> None:
    generator = OpenAIGenerator(endpoint("http://h/v1"), batch_size=1)
    for use in (lambda: generator.encode("x"), lambda: generator.engine, lambda: generator.vocabulary):
        with pytest.raises(BadInputError, match="a model behind a server cannot"):
            use()
