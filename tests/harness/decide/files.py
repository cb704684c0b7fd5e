"""Small result files in every format that is read, made by the tests that need them."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Rows = Sequence[Mapping[str, Any]]


def humaneval(passed: str) -> list[dict[str, Any]]:
    """Rows of HumanEval's first problems; "1" passed, "0" did not, "-" has no verdict."""
    outcome = {"1": "pass", "0": "fail", "-": "infra"}
    return [
        {"task_id": f"HumanEval/{i}", "outcome": outcome[c], "passed": c == "1"} for i, c in enumerate(passed)
    ]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def evalplus(statuses: Mapping[str, Sequence[tuple[str, str]]], *, version: str = "84f4") -> dict[str, Any]:
    """The value of an `*_eval_results.json`: (base status, plus status) of each sample."""
    return {
        "date": "2024-09-24 21:11",
        "hash": version,
        "eval": {
            problem: [
                {
                    "task_id": problem,
                    "solution": f"# {problem}, {i}",
                    "base_status": base,
                    "plus_status": plus,
                }
                for i, (base, plus) in enumerate(samples)
            ]
            for problem, samples in statuses.items()
        },
    }


def inspect_header(**changes: Any) -> dict[str, Any]:
    spec = {"task": "inspect_evals/humaneval", "task_version": 2, "model": "vendor/model", "dataset": {}}
    return {"version": 2, "status": "success", "eval": spec} | changes


def inspect_sample(problem: str, epoch: int, value: Any, **changes: Any) -> dict[str, Any]:
    score = {"value": value, "answer": f"# {problem}", "explanation": "", "history": []}
    return {
        "id": problem, "epoch": epoch, "input": f"prompt of {problem}", "scores": {"verify": score},
        "output": {"completion": "reply"},
    } | changes  # fmt: skip


def write_eval_log(path: Path, header: Mapping[str, Any], samples: Iterable[Mapping[str, Any]]) -> Path:
    """Write a log as inspect does: a zip archive whose entries are compressed with Zstandard, method 93."""
    entries = {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in samples} | {"header.json": header}
    body, directory = b"", b""
    for name, value in entries.items():
        text, raw = json.dumps(value).encode(), name.encode()
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(text)
        packed = sink.getvalue().to_pybytes()
        common = struct.pack(
            "<HHHHHIIIHH", 63, 0, 93, 0, 33, zlib.crc32(text), len(packed), len(text), len(raw), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + raw
        body += b"PK\x03\x04" + common + raw + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def write_run(
    root: Path,
    variants: Mapping[str, str],
    *,
    run: str = "r",
    created: str = "2026-01-01T00:00:00Z",
    temperature: float = 0.0,
    **row: Any,
) -> Path:
    """Write what a run leaves: leaderboard.json, and the tables of its steps."""
    steps = []
    for name, passed in variants.items():
        rows = humaneval(passed)
        ids = [row["task_id"] for row in rows]
        for kind, table in (
            ("generate", {"prompt": [f"{i} for {name}" for i in ids]}),
            (
                "execute",
                {"outcome": [r["outcome"] for r in rows], "program": f"program of {name}", "detail": ""},
            ),
        ):
            folder = root / "steps" / f"{kind}-{name}-{run}"
            folder.mkdir(parents=True)
            file = "samples.parquet" if kind == "generate" else "verdicts.parquet"
            pd.DataFrame({"problem_id": ids, "index": 0} | table).to_parquet(folder / file)
            steps.append({"id": run, "name": f"{kind}-{name}"})
        steps.insert(0, {"id": run, "name": f"merge-{name}+merged"})
    board = {
        "schema": 1, "experiment": "exp", "run": run, "created": created, "reference": next(iter(variants)),
        "sampling": {"samples": 1, "temperature": temperature},
        "suite": {"name": "humaneval", "registered": "humaneval", "revision": "v1", "n_problems": 40},
        "rows": [
            {"variant": name, "kind": "base", "pass@k": {"1": {"value": passed.count("1") / len(passed)}}} | row
            for name, passed in variants.items()
        ], "steps": steps,
    }  # fmt: skip
    write_json(root / run / "leaderboard.json", board)
    return root / run
