"""Results of inspect_ai: its logs, as `.eval` (a zip archive) or as JSON."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from assay.harness.decide.naming import suite_name
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Results

_WORDS = {"C": True, "I": False, "N": False, "P": False}  # correct, incorrect, no answer, partly correct
MOST_BYTES = 1 << 30  # of one sample's text
_ZSTANDARD = 93  # the method of a zip archive's entry


@READERS.register("inspect")
def read_inspect(source: Source, /) -> list[Results]:
    """An inspect log: each sample's first score is its verdict; a sample that ended in an error has none.

    "P" (partly correct) and "N" (no answer) are not passed. A score between 0 and 1 is no verdict.
    """
    collector = source.collector("inspect")
    header, samples = _open(source)
    spec = header.get("eval")
    if not isinstance(spec, dict):
        raise source.error("", "the log has no 'eval' that names task and model")
    suite, model = suite_name(str(spec.get("task") or "")), str(spec.get("model") or "")
    collector.versions[suite] = str(spec.get("task_version") or "")
    drawn = spec.get("model_generate_config")
    if isinstance(drawn, dict):
        collector.sampling = ", ".join(
            f"{name} {value}" for name, value in sorted(drawn.items()) if value is not None
        )
    partly, scorers = 0, dict[str, None]()
    for sample in samples:
        name = f"sample {sample.get('id')}, epoch {sample.get('epoch')}"
        scores = sample.get("scores") or {}
        scorers |= dict.fromkeys(scores)
        scorer, score = next(iter(scores.items()), ("", None))
        passed = None if score is None else _verdict(source, name, scorer, score)
        if score is None and not sample.get("error"):
            raise source.error(name, "has neither a score nor an error: was the log scored?")
        partly += isinstance(score, dict) and score.get("value") == "P"
        collector.add(
            str(sample.get("id")),
            passed,
            model=model,
            suite=suite,
            prompt=json.dumps(sample.get("input"), sort_keys=True),
            answer=partial(_answer, sample, score),
        )
    if partly:
        collector.notes.append(f"{partly} samples scored P (partly correct) count as not passed")
    if len(scorers) > 1:
        first, *others = scorers
        collector.notes.append(f"scored by {first!r}; left out: {', '.join(others)}")
    if header.get("status") not in (None, "success"):
        collector.notes.append(f"the log's status is {header.get('status')!r}: samples may be missing")
    return collector.results()


def _open(source: Source) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return a log's header and its samples."""
    if not source.start.startswith(b"PK"):
        value = source.json
        if not isinstance(value, dict) or not isinstance(value.get("samples"), list):
            raise source.error("", "the log holds no samples: it was written without them (log_samples)")
        return value, iter(value["samples"])
    try:
        with zipfile.ZipFile(source.path) as archive:
            names = archive.namelist()
            header = _entry(source, archive, "header.json") if "header.json" in names else None
    except zipfile.BadZipFile as error:
        raise source.error("", f"not an inspect log ({error})") from error
    if header is None:
        raise source.error("", "not a finished inspect log: header.json is missing")
    return header, _samples(source)


def _samples(source: Source) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(source.path) as archive:
        names = [n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json")]
        if not names:
            raise source.error("", "the log holds no samples: it was written without them (log_samples)")
        for name in names:
            yield _entry(source, archive, name)


def _entry(source: Source, archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    info = archive.getinfo(name)
    if info.file_size > MOST_BYTES:
        raise source.error(name, f"says that it holds {info.file_size:,} bytes, more than a sample has")
    try:
        text = _unpacked(source.path, info) if info.compress_type == _ZSTANDARD else archive.read(name)
        value = json.loads(text)
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        RecursionError,
        NotImplementedError,
        struct.error,
    ) as error:
        raise source.error(name, f"cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise source.error(name, f"expected an object, got {type(value).__name__}")
    return value


def _unpacked(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Return an entry that is compressed with Zstandard, which zipfile reads from Python 3.14 on: inspect writes them
    so. The lengths of name and extra field stand in the 30 bytes before its data."""
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<26xHH", file.read(30))
        file.seek(sum(lengths), 1)
        packed = file.read(info.compress_size)
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        text = bytes(stream.read(info.file_size + 1))
    if zlib.crc32(text) != info.CRC:
        raise ValueError("its checksum is wrong")
    return text


def _verdict(source: Source, name: str, scorer: str, score: Any) -> bool:
    value = score.get("value") if isinstance(score, dict) else score
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise source.error(name, f"the score of {scorer!r} is no verdict (C, I, 0 or 1): {value!r:.80}")


def _answer(sample: dict[str, Any], score: Any) -> Answer:
    """Return what the scorer took for the answer; the model's reply where it names none."""
    score = score if isinstance(score, dict) else {}
    output = sample.get("output") if isinstance(sample.get("output"), dict) else {}
    passed = score.get("value") in ("C", 1, True)
    text = score.get("answer") or (output or {}).get("completion") or ""
    return Answer(str(text), "pass" if passed else "fail", str(score.get("explanation") or ""))
