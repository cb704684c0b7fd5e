"""The training workload: steps of a plain loop on random tokens, with this project's own model preparation.

One step is forward, loss over all tokens (transformers' own, which makes the logits in fp32), backward, clipping, the
optimiser; the loop stores nothing and logs nothing, so what is measured is the method.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from harness.profile.inference import import_torch, repeat_phase, stored_dtype, tokens_of
from harness.profile.job import Job, Training
from harness.profile.random_weights import random_model
from harness.profile.worker import Recorder
from trainers.adapters import attach_adapter
from trainers.artifact import model_folder
from trainers.config import LoraTable, QuantizationTable
from trainers.precision import torch_dtype
from trainers.quantize import check_supported, load_quantized, prepare_for_training
from trainers.quiet import quiet_libraries

# Wide enough that every library is imported and every kernel chosen, small enough to weigh nothing.
_REHEARSAL = {
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
}


def measure_training(job: Job, recorder: Recorder) -> None:
    """Load and prepare, then `warmup + repeats` steps."""
    assert job.training is not None
    dtype = job.dtype if job.dtype != "auto" else stored_dtype(job)
    with recorder.phase("import"):
        import_torch(job, recorder)
        with quiet_libraries():
            model = _prepare(random_model(_REHEARSAL, **_how(job, dtype)), job.training)
            step = _stepper(model, job, dtype, vocabulary=64)
            step()
            step()
        del model, step
    with recorder.phase("load"), quiet_libraries():
        began = time.perf_counter()
        model = _prepare(_base(job, dtype), job.training)
        recorder.wait()
        recorder.time(0, True, seconds=time.perf_counter() - began)
    vocabulary = int(model.config.get_text_config().vocab_size)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    recorder.fact(
        backend=f"transformers, {job.training.attention} attention, {job.training.method} in {dtype} on {model.device}",
        vocabulary=vocabulary,
        trained_parameters=trained,
    )
    with recorder.phase("train"), quiet_libraries():
        step = _stepper(model, job, dtype, vocabulary)

        def once() -> dict[str, Any]:
            began = time.perf_counter()
            step()
            recorder.wait()
            return {"seconds": time.perf_counter() - began}

        repeat_phase(job, recorder, once)


def quantization_of(training: Training) -> QuantizationTable | None:
    """What the method does to the base's linear layers."""
    match training.method:
        case "qlora":
            return QuantizationTable(type="nf4")
        case "int8":
            return QuantizationTable(type="int8")
        case _:
            return None


def _how(job: Job, dtype: str) -> dict[str, Any]:
    assert job.training is not None
    return {
        "device": job.device,
        "dtype": "fp32" if job.training.method == "full" else dtype,
        "seed": job.seed,
        "quantization": quantization_of(job.training),
        "attention": job.training.attention,
    }


def _base(job: Job, dtype: str) -> Any:
    """The model before its adapter: random, or from its folder by the trainers' own loading."""
    how = _how(job, dtype)
    if job.random_config is not None:
        return random_model(job.random_config, **how)
    import torch
    from transformers import AutoModelForCausalLM

    assert job.source is not None
    folder, table = str(model_folder(job.source.artifact())), how["quantization"]
    if table is not None:
        check_supported(table, dtype)
        return load_quantized(folder, table, dtype, attention=how["attention"], keep_fp32=table.upcast_fp32)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch_dtype(how["dtype"]), attn_implementation=how["attention"]
    )
    cuda = job.device != "cpu" and torch.cuda.is_available()
    return model.to("cuda" if cuda else "cpu")


def _prepare(model: Any, training: Training) -> Any:
    table = quantization_of(training)
    if table is not None:
        model = prepare_for_training(model, table, checkpointing=training.checkpointing)
    elif training.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    model.config.use_cache = False
    if training.method != "full":
        model = attach_adapter(model, LoraTable(r=training.rank, alpha=2 * training.rank))
    return model.train()


def _stepper(model: Any, job: Job, dtype: str, vocabulary: int) -> Callable[[], None]:
    import torch

    assert job.training is not None
    ids = torch.tensor(
        [tokens_of(job, row, vocabulary) for row in range(job.batch_size)], device=model.device
    )
    optimizer = _optimizer(model, job.training, use_cpu=model.device.type == "cpu")
    trained = [p for p in model.parameters() if p.requires_grad]
    autocast = torch.autocast(model.device.type, dtype=torch_dtype(dtype), enabled=dtype != "fp32")

    def step() -> None:
        with autocast:
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _optimizer(model: Any, training: Training, *, use_cpu: bool) -> Any:
    """The optimiser that transformers makes of the name."""
    from transformers import Trainer, TrainingArguments

    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, optim=training.optimizer, use_cpu=use_cpu, report_to=[])
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return kind([p for p in model.parameters() if p.requires_grad], **options)
