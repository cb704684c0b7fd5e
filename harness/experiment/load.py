"""Read an experiment file, by path or by a lab's name, with its file names taken from its own folder."""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.experiment.experiment import Experiment
from assay.harness.experiment.tables import SuiteTable
from assay.harness.experiment.validation import checked
from assay.harness.experiment.variants import AnyVariant, ModelVariant, TrainVariant

DATA_FILES = ("file", "eval_file", "only")  # keys of `[data]` that hold file names


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file. Raises BadInputError that names the file, the key and its value."""
    return _relative_to(checked(Experiment, read_toml(path), str(path)), path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file. Raises BadInputError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(f"no such file: {path}") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise BadInputError(f"{path}: not read: its tables are nested too deeply") from None


def _relative_to(experiment: Experiment, folder: Path) -> Experiment:
    """Return the experiment with its relative file names taken from the experiment file's folder."""
    names = {one.name for one in (*experiment.variant, *experiment.pairs)}
    changes = {
        "suite": _suite_from(experiment.suite, folder),
        "variant": tuple(_variant_from(v, folder, names) for v in experiment.variant),
        "pairs": tuple(
            t.model_copy(update={"suite": _suite_from(t.suite, folder)}) for t in experiment.pairs
        ),
    }
    return experiment.model_copy(update=changes)


def _suite_from(suite: SuiteTable | None, folder: Path) -> SuiteTable | None:
    if suite is None or suite.path is None or str(suite.path).startswith("hub:"):
        return suite
    return suite.model_copy(update={"path": folder / suite.path})


def _variant_from(variant: AnyVariant, folder: Path, names: set[str]) -> AnyVariant:
    if isinstance(variant, TrainVariant):
        named = {key: variant.data.get(key) for key in DATA_FILES}
        named = {key: name for key, name in named.items() if key != "only" or name not in names}
        paths = {key: str(folder / name) for key, name in named.items() if isinstance(name, str)}
        here = variant.reward_model in names
        config = variant.config if here else reward_model_from(variant.config, folder)
        return variant.model_copy(update={"config": config, "data": variant.data | paths})
    if isinstance(variant, ModelVariant) and (
        variant.model.startswith(".") or variant.model.endswith(".gguf")
    ):
        return variant.model_copy(update={"model": str(folder / variant.model)})
    return variant


def reward_model_from(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return `[config]` with a relative `reward.model` taken from `folder`."""
    reward = config.get("reward")
    if not isinstance(reward, dict) or not isinstance(reward.get("model"), str):
        return config
    return config | {"reward": reward | {"model": str(folder / reward["model"])}}


def find_experiment(name: str) -> Path:
    """Return the file of an experiment given as a path or as the name of a lab that comes with Assay."""
    path = Path(name)
    if path.suffix or path.exists():
        return path
    labs = Path(str(files("assay.suites"))) / "labs"
    known = sorted(file.stem for file in labs.glob("*.toml"))
    if name in known:
        return labs / f"{name}.toml"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInputError(
        f"no experiment {name!r}: give a .toml file or one of the labs: {', '.join(known)}{hint}"
    )
