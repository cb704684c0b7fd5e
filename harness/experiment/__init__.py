"""The experiment file: its tables, and the checks that a file passes before anything runs."""

from assay.harness.experiment.experiment import Experiment, Member
from assay.harness.experiment.load import find_experiment, load_experiment
from assay.harness.experiment.tables import SamplingTable, SandboxTable, SuiteTable
from assay.harness.experiment.variants import (
    AnyVariant,
    CompressVariant,
    MergeVariant,
    ModelVariant,
    PairsTable,
    TrainVariant,
    maker_of,
    source_of,
    sources_of,
)

__all__ = [
    "AnyVariant",
    "CompressVariant",
    "Experiment",
    "Member",
    "MergeVariant",
    "ModelVariant",
    "PairsTable",
    "SamplingTable",
    "SandboxTable",
    "SuiteTable",
    "TrainVariant",
    "find_experiment",
    "load_experiment",
    "maker_of",
    "source_of",
    "sources_of",
]
