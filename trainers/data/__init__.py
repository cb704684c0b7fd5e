"""Training data: chats that end in an assistant's turn, from files, the hub or a suite, in any of the known formats.

Every row read is kept, or dropped with a reason that is counted; a row that is not of its format stops the run and is
named (file, line, field), unless `bad_rows = "drop"` asks for such rows to be counted instead.
"""

from assay.trainers.data.load import (
    HELD_OUT,
    RECORDS,
    DataConfig,
    RecordMaker,
    load_records,
    records_from_jsonl,
    records_from_suite,
)
from assay.trainers.data.model import Message, Records, TrainingRecord

__all__ = [
    "HELD_OUT",
    "RECORDS",
    "DataConfig",
    "Message",
    "RecordMaker",
    "Records",
    "TrainingRecord",
    "load_records",
    "records_from_jsonl",
    "records_from_suite",
]
