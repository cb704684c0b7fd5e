"""Report what this machine can do, what it cannot, and what to install for more."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from assay.harness.hardware import describe_machine, package_version
from assay.harness.situations import Situation, facts, situation
from assay.sandbox import Isolation, probe

if TYPE_CHECKING:
    from rich.console import Console

_NO_ENGINE = "start an engine to use --backend docker; embedded needs none"
FLAGS = 'CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF"'
PORTABLE = f"{FLAGS} pip install --no-cache-dir --force-reinstall llama-cpp-python"


@dataclass(frozen=True, slots=True)
class Capability:
    """Something a user may want to do here, whether it works, and the remedy when it does not."""

    name: str
    works: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The machine, the isolation of programs that it gives, the situation that this is, and what else works."""

    machine: dict[str, Any]
    isolation: Isolation
    situation: Situation
    capabilities: tuple[Capability, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "isolation": self.isolation.as_json()}

    def print(self) -> None:
        from rich.console import Console as Terminal
        from rich.markup import escape
        from rich.table import Table

        console = Terminal()
        machine = self.machine
        console.print(
            f"{machine['cpu']}, {machine['cores']} cores, {machine['ram_bytes'] / 2**30:.1f} GiB, {machine['os']}, "
            f"Python {machine['python']}, GPU: {machine['gpu'] or 'none'}",
            soft_wrap=True,
            markup=False,
        )
        rows = [(p.name, p.present, p.detail, p.remedy) for p in self.isolation.pieces]
        parts = (
            (f"Isolation of candidate programs: {self.isolation.level}", rows),
            ("What else works", [(c.name, c.works, c.detail, c.remedy) for c in self.capabilities]),
        )
        for title, entries in parts:
            table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
            for name, works, detail, remedy in entries:
                state = "[green]yes[/]" if works else "[yellow]no[/]"
                text = detail if works or not remedy else f"{detail}. {remedy}"
                table.add_row(f"  {name}", state, escape(text))
            console.print()
            console.print(table)
            if entries is rows:
                self._print_situation(console)

    def _print_situation(self, console: Console) -> None:
        here = self.situation
        for title, text in (("Here", here.name), ("lost", here.lost), ("to type", here.remedy)):
            console.print(f"  {title}: {text}", markup=False)


def examine() -> Report:
    """Examine this machine. Starts one sandbox cell; imports none of the heavy packages."""
    isolation = probe()
    here = situation(isolation, facts())
    return Report(describe_machine(), isolation, here, (train(), gguf(), gpu(), docker()))


def train() -> Capability:
    """Return whether the packages that trainings need are installed."""
    needed = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return Capability(
            "train", False, f"not installed: {', '.join(missing)}", "pip install 'assay[train]'"
        )
    return Capability("train", True, f"torch {package_version('torch')}, trl {package_version('trl')}")


def gguf() -> Capability:
    """Return whether GGUF models can be made and run, and without crashing llama.cpp on this CPU."""
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("gguf") is None:
        return Capability(
            "GGUF", False, "llama-cpp-python or gguf is not installed", f"{FLAGS} pip install 'assay[gguf]'"
        )
    from llama_cpp import llama_cpp

    info = llama_cpp.llama_print_system_info().decode()
    if "AMX_INT8 = 1" in info:
        detail = "llama.cpp was built for this CPU's AMX, which crashes it on quantised models"
        return Capability("GGUF", False, detail, PORTABLE)
    return Capability("GGUF", True, f"llama-cpp-python {package_version('llama-cpp-python')}")


def gpu() -> Capability:
    """Return whether NVML finds a device."""
    name = describe_machine()["gpu"]
    if name:
        return Capability("GPU", True, name)
    if importlib.util.find_spec("pynvml") is None:
        return Capability("GPU", False, "NVML is not installed", "pip install 'assay[gpu]'")
    return Capability(
        "GPU", False, "NVML finds no device", "memory and speed on a GPU are reported as unmeasured"
    )


def docker() -> Capability:
    """Return whether a Docker engine answers."""
    import docker as sdk
    from docker.errors import DockerException

    try:
        client = sdk.from_env(timeout=5)
    except DockerException as error:
        reason = str(error).split("(")[0].strip() or type(error).__name__
        return Capability("Docker", False, reason, _NO_ENGINE)
    try:
        return Capability("Docker", True, f"engine {client.version()['Version']}")
    except DockerException as error:
        return Capability("Docker", False, str(error), _NO_ENGINE)
    finally:
        client.close()
