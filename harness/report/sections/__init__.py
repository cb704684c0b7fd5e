"""The sections of a report, in their order; each is built from the leaderboard as blocks and rendered elsewhere."""

from __future__ import annotations

from assay.harness.leaderboard.schema import Leaderboard
from assay.harness.report.blocks import Block, Section
from assay.harness.report.sections import board as tables
from assay.harness.report.sections import chain, curves, rewards, trainings
from assay.harness.report.sections import definitions as meaning

__all__ = ["sections"]


def sections(board: Leaderboard, samples: Block | None = None) -> list[Section]:
    """Return the sections that have something to show; `samples` is the page's sample browser."""
    training = [
        *trainings.took(board),
        *trainings.learned(board),
        *rewards.reward_models(board),
        *rewards.answers(board),
        *curves.curves(board),
    ]
    every = (
        Section("leaderboard", "Leaderboard", tables.leaderboard(board)),
        Section("families", "By family", tables.families(board)),
        Section("comparisons", "Paired comparisons", tables.comparisons(board)),
        Section("noise", "Where the noise comes from", tables.noise(board)),
        Section("links", "Chain", chain.links(board)),
        Section("profiles", "Memory and speed alone", tables.profiles(board)),
        Section("training", "Training", training),
        Section("contamination", "Training set and suite", chain.overlap(board)),
        Section("samples", "Samples", [samples] if samples else []),
        Section("definitions", "What the figures mean", meaning.definitions(board)),
        Section("provenance", "Provenance", meaning.provenance(board)),
    )
    return [section for section in every if section.blocks]
