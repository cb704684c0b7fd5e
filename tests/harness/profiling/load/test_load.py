"""A load on our own server, and on one that fails in every way it can."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.generation import load_generator
from assay.harness.models.resolve import Endpoint
from assay.harness.profiling.load import Workload, measure, summarise
from assay.harness.profiling.load.client import Limits, ask
from assay.harness.profiling.load.drive import read_events
from assay.harness.serving.server import Options
from assay.trainers.artifact import identify
from tests.harness.serving.conftest import POCKET_FOLDER, running

PATIENT = Limits(connect_s=30, stall_s=30, total_s=60)
HASTY = Limits(connect_s=30, stall_s=4, total_s=60)  # where a server hangs on purpose


def event(text: str = "", finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]} | more)}\n\n".encode()


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}\n\n'
END = b"data: [DONE]\n\n"
GOOD = [event("a"), event("b"), event("c", "length"), USAGE, END]
Script = Callable[[int, dict[str, Any]], Any]


class Server:
    """Answers request n by the script: (status, body) or the parts of a stream, "stall" among them where it hangs."""

    def __init__(self, script: Script) -> None:
        self.asked: list[dict[str, Any]] = []
        self.most = self._now = 0
        lock, released, server = threading.Lock(), threading.Event(), self
        self._released = released

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    server.asked.append(body)
                    n = len(server.asked) - 1
                    server._now += 1
                    server.most = max(server.most, server._now)
                with ExitStack() as present:
                    present.callback(self._leave)
                    self._play(script(n, body), present.close)

            def _leave(self) -> None:
                with lock:
                    server._now -= 1

            def do_GET(self) -> None:
                self._whole(200, {"object": "list", "data": [{"id": "m", "sha256": "f" * 64}]})

            def _whole(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _play(self, played: Any, leave: Callable[[], None]) -> None:
                """Leaves before it writes the last part: the client that reads it may send its next at once."""
                if isinstance(played, tuple):
                    leave()
                    self._whole(*played)
                    return
                self.send_response(200)
                self.send_header("content-type", "text/event-stream; charset=utf-8")
                self.end_headers()
                for part in played:
                    if part == "stall":
                        released.wait(60)
                        return
                    if part == END:
                        leave()
                    with suppress(ConnectionError):  # a client that has had enough
                        self.wfile.write(part)
                        continue
                    return

            def log_message(self, format: str, *values: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self.endpoint = Endpoint(self.url, "m")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    made: list[Server] = []

    def start(script: Script) -> Server:
        made.append(Server(script))
        return made[-1]

    yield start
    for one in made:
        one.close()


def workload(**changes: Any) -> Workload:
    return Workload(
        **({"prompts": ("one", "two"), "levels": (2,), "requests": 6, "limits": PATIENT} | changes)
    )


def raised_by(work: Callable[[], None]) -> BaseException | None:
    """What it raised; fails where it does not end."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return found[0] if found else None


def test_a_good_server_is_measured_whole(serve: Callable[[Script], Server], tmp_path: Path) -> None:
    server = serve(lambda n, body: GOOD)
    raw = tmp_path / "raw.jsonl"
    measure(server.endpoint, workload(levels=(1, 3), warmup=2), raw)
    made = summarise(read_events(raw), str(raw))
    assert made["unmeasured"] == {}
    for level, concurrency in zip(made["levels"], (1, 3), strict=True):
        assert (level["done"], level["warmup_dropped"], level["errors"]) == (6, 2 * concurrency, {})
        assert level["output_tokens"] == 18
        assert level["itl_s"]["n"] == 12
        assert level["tokens_per_event"] == 1
        assert level["output_tok_per_s"] > 0
    assert server.most <= 3
    assert all(body["stream_options"] == {"include_usage": True} for body in server.asked)
    contents = [body["messages"][0]["content"] for body in server.asked[1:]]
    assert len(set(contents)) == len(contents)  # no two begin alike: a prefix cache has nothing to give
    for event in read_events(raw):
        if event["event"] == "request":
            assert 0 < event["pieces_s"][0] <= event["pieces_s"][-1] <= event["end_s"]
    with pytest.raises(BadInputError, match="never written over"):
        measure(server.endpoint, workload(), raw)


@pytest.mark.parametrize(
    ("played", "status", "detail"),
    [
        ((500, {"error": {"message": "out of memory"}}), "status 500", "out of memory"),
        ((200, {"choices": [{"message": {"content": "x"}}]}), "not streamed", "application/json"),
        ([event("a"), "stall"], "stalled", "4 s"),
        ([event("a"), event("b")], "cut off", "finish reason"),
        ([event("a"), b'data: {"error": {"message": "engine died"}}\n\n'], "error within the stream", "died"),
        ([b"data: {half\n\n"], "no JSON in an event", "half"),
        ([b"data: 7\n\n"], "no object in an event", "7"),
        ([b"data: " + b"[" * 100_000 + b"\n\n"], "no JSON in an event", "[["),
        ([b'data: {"choices": [null]}\n\n'], "no choices in an event", "null"),
        ([b'data: {"choices": 7}\n\n'], "no choices in an event", "7"),
        ([b'data: {"choices": {"a": 1}}\n\n'], "no choices in an event", "a"),
        ([b'data: {"choices": [{"delta": "x"}]}\n\n'], "no choices in an event", "x"),
    ],
)
def test_every_failure_has_a_name(
    serve: Callable[[Script], Server], played: Any, status: str, detail: str
) -> None:
    server = serve(lambda n, body: played)
    trace = ask(server.endpoint, workload().body("m", 1, 0), HASTY)
    assert trace.status == status
    assert detail in trace.detail


def test_a_server_that_never_ends_is_left(serve: Callable[[Script], Server]) -> None:
    def forever(_n: int, _body: dict[str, Any]) -> Iterator[bytes]:
        while True:
            yield event("a")

    server = serve(forever)
    trace = ask(server.endpoint, workload().body("m", 1, 0), Limits(stall_s=30, total_s=0.2))
    assert trace.status == "too long"
    assert trace.pieces_s


def test_nobody_there(closed_port: int) -> None:
    trace = ask(Endpoint(f"http://127.0.0.1:{closed_port}/v1", "m"), workload().body("m", 1, 0), HASTY)
    assert trace.status == "no connection"
    assert "refused" in trace.detail


@pytest.mark.slow
def test_errors_are_counted_and_the_rest_measured(serve: Callable[[Script], Server], tmp_path: Path) -> None:
    def script(n: int, _body: dict[str, Any]) -> Any:
        return {3: (503, {"error": {"message": "busy"}}), 4: [event("a"), "stall"]}.get(n, GOOD)

    measure(serve(script).endpoint, workload(limits=HASTY), tmp_path / "raw.jsonl")
    (level,) = summarise(read_events(tmp_path / "raw.jsonl"), "")["levels"]
    assert level["errors"] == {"status 503": 1, "stalled": 1}
    assert (level["done"], level["ttft_s"]["n"], level["given_up"]) == (4, 4, False)


def test_a_malformed_event_in_the_warm_up_leaves_nobody_waiting(
    serve: Callable[[Script], Server], tmp_path: Path
) -> None:
    server = serve(lambda n, body: [b'data: {"choices": [null]}\n\n'] if n == 2 else GOOD)
    raw = tmp_path / "raw.jsonl"
    assert raised_by(lambda: measure(server.endpoint, workload(), raw)) is None
    (level,) = summarise(read_events(raw), "")["levels"]
    assert (level["warmup_failed"], level["done"]) == (1, 6)


@pytest.mark.parametrize("warmup", [True, False])
def test_a_worker_that_dies_ends_the_measurement_with_its_error(
    serve: Callable[[Script], Server], tmp_path: Path, warmup: bool
) -> None:
    """Not with the others waiting at the barrier, and not with fewer at work than the level says."""
    seen: list[dict[str, Any]] = []

    def on_event(event: dict[str, Any]) -> None:
        seen.append(event)
        if sum(e["event"] == "request" and e["warmup"] == warmup for e in seen) == 1:
            raise OSError("the disk is full")

    server, raw = serve(lambda n, body: GOOD), tmp_path / "raw.jsonl"
    found = raised_by(lambda: measure(server.endpoint, workload(requests=500), raw, on_event))
    assert isinstance(found, OSError)
    assert "the disk is full" in str(found)
    assert "level" not in {e["event"] for e in read_events(raw)}
    assert len(server.asked) < 100


def test_a_server_that_dies_is_given_up(serve: Callable[[Script], Server], tmp_path: Path) -> None:
    server = serve(lambda n, body: GOOD if n < 3 else (500, {}))
    measure(server.endpoint, workload(requests=500), tmp_path / "raw.jsonl")
    (level,) = summarise(read_events(tmp_path / "raw.jsonl"), "")["levels"]
    assert level["given_up"] is True
    assert level["not_sent"] > 400


def test_a_server_without_usage_has_no_tokens(serve: Callable[[Script], Server], tmp_path: Path) -> None:
    server = serve(lambda n, body: [p for p in GOOD if p != USAGE])
    measure(server.endpoint, workload(), tmp_path / "raw.jsonl")
    made = summarise(read_events(tmp_path / "raw.jsonl"), "")
    assert "no usage" in made["unmeasured"]["tokens at 2"]
    assert "output_tok_per_s" not in made["levels"][0]


def test_stream_options_are_left_out_where_they_are_refused(
    serve: Callable[[Script], Server], tmp_path: Path
) -> None:
    def script(_n: int, body: dict[str, Any]) -> Any:
        if "stream_options" in body:
            return 400, {"error": {"message": "unknown field stream_options"}}
        return [p for p in GOOD if p != USAGE]

    measure(serve(script).endpoint, workload(), tmp_path / "raw.jsonl")
    start, *_ = read_events(tmp_path / "raw.jsonl")
    assert start["asks_for_usage"] is False


def test_a_server_that_refuses_or_fails_at_once_is_said(
    serve: Callable[[Script], Server], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="no such model"):
        measure(
            serve(lambda n, body: (404, {"error": {"message": "no such model"}})).endpoint,
            workload(),
            tmp_path / "a.jsonl",
        )
    with pytest.raises(UnmeasuredError, match="status 500"):
        measure(serve(lambda n, body: (500, {})).endpoint, workload(), tmp_path / "b.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_record_cut_by_a_kill_is_read_and_a_broken_one_is_named(
    serve: Callable[[Script], Server], tmp_path: Path
) -> None:
    raw = tmp_path / "raw.jsonl"
    measure(serve(lambda n, body: GOOD).endpoint, workload(), raw)
    whole = raw.read_text()
    lines = whole.splitlines(keepends=True)
    raw.write_text("".join(lines[:5]) + lines[5][:20])
    made = summarise(read_events(raw), str(raw))
    assert made["unmeasured"] == {"throughput at 2": "the measurement was interrupted"}
    raw.write_text(lines[0] + "{\n" + lines[1])
    with pytest.raises(BadInputError, match=r"raw.jsonl:2"):
        read_events(raw)
    raw.write_text("{}\n\n")
    with pytest.raises(BadInputError):
        read_events(raw)


@pytest.mark.parametrize("changes", [{"levels": ()}, {"levels": (0,)}, {"requests": 0}, {"prompts": ()}])
def test_a_load_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        workload(**changes)


@pytest.mark.slow
@pytest.mark.train
def test_our_own_server_under_load(tmp_path: Path) -> None:
    pocket = identify(POCKET_FOLDER)
    generator = load_generator(pocket, batch_size=4, threads=1, dtype="fp32")
    with running(generator, pocket, Options(parallel=4)) as server:
        asked = ["profile", server.url, "--concurrency", "1,4", "--requests", "5", "--new-tokens", "8"]
        done = CliRunner().invoke(app, [*asked, "-o", str(tmp_path), "--json", "-q", "--suite", "pocket"])
    generator.close()
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    (raw,) = tmp_path.glob("*.jsonl")
    assert json.loads(raw.with_suffix(".json").read_text()) == made
    assert made["unmeasured"] == {}
    for level, concurrency in zip(made["levels"], (1, 4), strict=True):
        assert (level["done"], level["warmup_dropped"]) == (5, concurrency)
        assert 5 <= level["output_tokens"] <= 40
        assert level["prompt_tokens"] > 100
        assert level["tpot_s"]["mean"] > 0


def test_options_of_another_kind_of_model_are_refused(
    serve: Callable[[Script], Server], tmp_path: Path
) -> None:
    server = serve(lambda n, body: GOOD)
    done = CliRunner().invoke(app, ["profile", server.url, "--dtype", "bf16", "-o", str(tmp_path)])
    assert isinstance(done.exception, BadInputError)
    assert "--dtype" in str(done.exception)
    done = CliRunner().invoke(app, ["profile", "pocket", "--concurrency", "4", "-o", str(tmp_path)])
    assert isinstance(done.exception, BadInputError)
    assert "--concurrency" in str(done.exception)


def test_the_table_says_what_failed(serve: Callable[[Script], Server], tmp_path: Path) -> None:
    server = serve(lambda n, body: GOOD if n % 2 == 0 else (503, {"error": {"message": "busy"}}))
    asked = ["profile", server.url, "--concurrency", "1", "--requests", "6", "--timeout", "5"]
    done = CliRunner().invoke(app, [*asked, "-q", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "1 in flight: 3 of 6 failed: status 503" in said
    assert "for example: busy" in said
    assert "TTFT" in said
