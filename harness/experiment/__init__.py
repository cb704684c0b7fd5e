"""The experiment file: its tables, and the checks that a file passes before anything runs."""

from assay.harness.experiment.experiment import Experiment, Member
from assay.harness.experiment.load import (
    DATA_FILES,
    find_experiment,
    load_experiment,
    read_toml,
    reward_model_from,
)
from assay.harness.experiment.tables import SamplingTable, SandboxTable, SuiteTable, Table
from assay.harness.experiment.variants import (
    AnyVariant,
    CompressVariant,
    ExportVariant,
    MergeVariant,
    ModelVariant,
    PairsTable,
    TrainVariant,
    maker_of,
    source_of,
    sources_of,
)

__all__ = [
    "DATA_FILES",
    "AnyVariant",
    "CompressVariant",
    "Experiment",
    "ExportVariant",
    "Member",
    "MergeVariant",
    "ModelVariant",
    "PairsTable",
    "SamplingTable",
    "SandboxTable",
    "SuiteTable",
    "Table",
    "TrainVariant",
    "find_experiment",
    "load_experiment",
    "maker_of",
    "read_toml",
    "reward_model_from",
    "source_of",
    "sources_of",
]
