"""The pocket model in every kind that can be generated from, and a server of it on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.serving.server import Api, Options, bind, open_api
from assay.trainers.artifact import Artifact, identify

NAME = "pocket"


@dataclass(frozen=True)
class Running:
    url: str
    api: Api
    generator: MeasuredGenerator


@contextmanager
def running(generator: MeasuredGenerator, artifact: Artifact, options: Options) -> Iterator[Running]:
    """A server in a thread of this process, on a free port."""
    import uvicorn

    listening = bind("127.0.0.1", 0)
    with open_api(generator, artifact, NAME, options) as api:
        server = uvicorn.Server(
            uvicorn.Config(api.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", api, generator)
        finally:
            server.should_exit = True
            thread.join(10)
            listening.close()


def wait_until(condition: object, seconds: float = 300.0) -> None:
    """Wait for something that another thread does; how long is a limit, never a measure."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def pocket() -> Artifact:
    return identify(POCKET_FOLDER)


@pytest.fixture(scope="session")
def generator(pocket: Artifact) -> Iterator[MeasuredGenerator]:
    made = load_generator(pocket, batch_size=8, threads=1, dtype="fp32")
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(generator: MeasuredGenerator, pocket: Artifact) -> Iterator[Running]:
    with running(generator, pocket, Options(parallel=8)) as found:
        yield found


@pytest.fixture(scope="session")
def kinds(pocket: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Base, an adapter that changes its answers, the two merged, and the merged model as GGUF."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from assay.trainers.gguf import export_gguf
    from assay.trainers.merge import merge_adapter

    folder: Path = tmp_path_factory.mktemp("kinds")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(str(POCKET_FOLDER), dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(str(folder / "adapter"))
    adapter = identify(folder / "adapter", base=pocket)
    merged = merge_adapter(adapter, folder / "merged")
    return {
        "base": pocket,
        "adapter": adapter,
        "merged": merged,
        "gguf": export_gguf(merged, folder / "f32.gguf", "f32"),
    }
