"""The measured process: `python -m assay.harness.profiling.measure.worker FD` reads a job from stdin and
writes events to FD.
"""

from __future__ import annotations

import sys

from assay.harness.profiling.measure.job import OUT_OF_MEMORY, Job, Recorder
from assay.harness.profiling.measure.process_memory import snapshot

DONE = "done"


def main() -> None:
    recorder = Recorder(int(sys.argv[1]))
    job = Job.model_validate_json(sys.stdin.read())
    from assay.harness.errors import AssayError, exit_code_of
    from assay.harness.profiling.measure.inference import measure_inference
    from assay.harness.profiling.measure.training import measure_training
    from assay.trainers.errors import TrainersError

    try:
        (measure_inference if job.training is None else measure_training)(job, recorder)
    except MemoryError as error:
        recorder.stop(OUT_OF_MEMORY, str(error) or "the host has no more", snapshot=snapshot())
    except (AssayError, TrainersError) as error:
        recorder.stop("failed", str(error), exit_code=exit_code_of(error))
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        recorder.stop(OUT_OF_MEMORY, str(error).splitlines()[0], snapshot=snapshot())
    else:
        recorder.stop(DONE)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """torch has a class for the device's; the host's is a RuntimeError known by its words."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


if __name__ == "__main__":
    main()
