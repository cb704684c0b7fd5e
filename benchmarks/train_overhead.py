"""What `assay train` adds to the bare TRL and PEFT loop, on the same model, data, order and steps.

    python -m benchmarks.train_overhead [--steps 40] [--rounds 7]

Each round trains the pocket model twice, bare and through us, in turns and in either order, each in a process of its
own. Timed is the training loop: for us with the step log, the alarms and the checkpoints as they are by default; for
the bare loop TRL's SFTTrainer with the same checkpoints and its own logging. CPU seconds are the process's own and
hold on a busy machine; wall seconds need a quiet one. The losses of both must be equal, or the work was not the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assay.harness.models.resolve import resolve_model
from assay.trainers import SftConfig
from assay.trainers.data import records_from_suite

CONFIG: dict[str, Any] = {"method": "sft", "learning_rate": 1e-3, "max_length": 256, "dtype": "fp32"}


def config(steps: int) -> SftConfig:
    return SftConfig.model_validate(CONFIG | {"max_steps": steps})


def ours(steps: int, folder: Path) -> dict[str, Any]:
    from assay.trainers.methods.sft import build_trainer
    from assay.trainers.run.folder import seeded
    from assay.trainers.run.runtime import quiet_libraries

    base, records = resolve_model("pocket"), records_from_suite("pocket", n=16 * steps, seed=0)
    with quiet_libraries(), seeded(0):
        return timed(build_trainer(base, config(steps), records, folder))


def bare(steps: int, folder: Path) -> dict[str, Any]:
    """The loop as TRL's documentation writes it, its settings those that ours come to."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    from assay.trainers.run.runtime import quiet_libraries

    model_folder = str(resolve_model("pocket").path)
    chats = [r.as_dicts() for r in records_from_suite("pocket", n=16 * steps, seed=0).kept]
    with quiet_libraries():
        set_seed(0)
        model = AutoModelForCausalLM.from_pretrained(
            model_folder,
            dtype=torch.float32,
            attn_implementation="eager",
            trust_remote_code=False,
            use_safetensors=True,
        )
        trainer = SFTTrainer(
            model,
            args=SFTConfig(
                output_dir=str(folder / "checkpoints"),
                seed=0,
                data_seed=0,
                optim="adamw_torch",
                learning_rate=CONFIG["learning_rate"],
                lr_scheduler_type="cosine",
                per_device_train_batch_size=16,
                max_steps=steps,
                max_length=CONFIG["max_length"],
                assistant_only_loss=True,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=not torch.cuda.is_available(),
                save_steps=50,
                logging_steps=1,
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list([{"messages": chat} for chat in chats]),
            processing_class=AutoTokenizer.from_pretrained(model_folder, trust_remote_code=False),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.remove_callback(PrinterCallback)
        return timed(trainer)


def timed(trainer: Any) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    }


def in_a_process(which: str, steps: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_overhead", "--only", which, "--steps", str(steps)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("ours", "bare"))
    given = parser.parse_args()
    if given.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps((ours if given.only == "ours" else bare)(given.steps, Path(folder))))
        return
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(given.rounds):
        order = ("bare", "ours") if number % 2 == 0 else ("ours", "bare")
        found = {which: in_a_process(which, given.steps) for which in order}
        if found["bare"]["losses"] != found["ours"]["losses"]:
            raise SystemExit(
                f"not the same work: losses {found['bare']['losses'][:3]} and {found['ours']['losses'][:3]}"
            )
        rounds.append(found)
        for unit in ("cpu_s", "wall_s"):
            print(
                f"round {number}: {unit} bare {found['bare'][unit]:.2f}, ours {found['ours'][unit]:.2f}",
                flush=True,
            )
    for unit in ("cpu_s", "wall_s"):
        ratios = sorted(r["ours"][unit] / r["bare"][unit] - 1 for r in rounds)
        print(
            f"{unit}: overhead median {100 * statistics.median(ratios):+.2f} %, "
            f"from {100 * ratios[0]:+.2f} % to {100 * ratios[-1]:+.2f} % over {len(rounds)} interleaved rounds; "
            f"bare median {statistics.median(r['bare'][unit] for r in rounds):.2f} s, "
            f"ours {statistics.median(r['ours'][unit] for r in rounds):.2f} s; equal losses in every round"
        )


if __name__ == "__main__":
    main()
