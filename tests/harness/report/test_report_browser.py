"""The page in a real browser: what its script does, and that hostile samples do nothing.

A driver is added to a copy of the page, and its hash to the page's policy; it clicks and types, then leaves what it
saw as JSON in the document, which headless Chromium prints.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from assay.harness.report import write_report
from tests.harness.report.conftest import SyntheticRun
from tests.harness.report.hostile import HOSTILE, NAME, make_hostile

BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH"
)

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--virtual-time-budget=4000", "--dump-dom"),
]

PRELUDE = """
const seen = { errors: [], violations: 0 };
addEventListener("error", (e) => seen.errors.push(String(e.message)));
addEventListener("securitypolicyviolation", () => { seen.violations += 1; });
const $ = (s) => document.querySelector(s), $$ = (s) => [...document.querySelectorAll(s)];
const press = (node, key) => node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const set = (node, value) => { node.value = value; node.dispatchEvent(new Event("change")); };
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const names = () => $$(".board tbody th b").map((b) => b.textContent);
const found = () => $("#found").textContent;
addEventListener("load", async () => {
  $("#samples").scrollIntoView(); // which has them unpacked
  for (let i = 0; !$("#samples").dataset.state && i < 400; i++) await wait(5);
  try { await drive(); } catch (e) { seen.errors.push(String(e)); }
  const out = document.createElement("pre");
  out.id = "seen"; out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
"""


def drive(run: SyntheticRun, folder: Path, steps: str, fragment: str = "") -> dict[str, Any]:
    """What the driver saw."""
    assert BROWSER is not None
    write_report(folder, run.board, run.samples, run.problems)
    page = (folder / "report.html").read_text(encoding="utf-8")
    script = f"{PRELUDE}\nasync function drive() {{\n{steps}\n}}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    page = page.replace("<title>", f"<script>{script}</script><title>", 1)
    (folder / "driven.html").write_text(page, encoding="utf-8")
    address = (folder / "driven.html").as_uri() + fragment
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run([BROWSER, *FLAGS, profile, address], capture_output=True, text=True, timeout=120)
    result = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert result is not None, done.stderr[-2000:]
    seen = json.loads(html.unescape(result.group(1)))
    assert seen.pop("errors") == []
    assert seen.pop("violations") == 0
    assert isinstance(seen, dict)
    return seen


def link(variant: str, problem: str, index: int) -> str:
    return f"#sample={quote(variant, safe='')},{quote(problem, safe='')},{index}"


def test_sorting_filtering_and_opening(run: SyntheticRun, tmp_path: Path) -> None:
    steps = """
      const head = (i) => $$(".board thead button")[i];
      seen.initial = names();
      head(1).click(); seen.by_name = names();
      head(1).click(); seen.by_name_down = names();
      $$(".board thead button").find((b) => b.textContent === "made in").click(); seen.by_made_in = names();
      seen.sorted_column = $("[aria-sort]").textContent + " " + $("[aria-sort]").getAttribute("aria-sort");

      seen.all = found();
      const [variant, family] = $$("#filters select");
      const outcome = (name) => $(`#filters input[value=${name}]`);
      outcome("error").click(); seen.errors_only = found(); seen.hash_outcome = location.hash;
      outcome("error").click();
      set(family, "lists"); seen.one_family = found(); set(family, "");
      const differs = $("#filters label.check input");
      differs.click(); seen.differing = found(); differs.click();
      set(variant, "base"); seen.of_base = found(); seen.differs_off = differs.disabled; set(variant, "adapter");
      const search = $("#filters input[type=search]");
      search.value = "RESULT.append"; search.dispatchEvent(new Event("input"));
      await wait(400); seen.searched = found();
      search.value = "no such text"; search.dispatchEvent(new Event("input"));
      await wait(400); seen.nothing = found();
      search.value = ""; search.dispatchEvent(new Event("input")); await wait(400);

      const stops = $$("#list .cell").filter((c) => c.tabIndex === 0);
      seen.tab_stops = stops.length;
      stops[0].focus(); press(stops[0], "ArrowRight");
      seen.moved = document.activeElement.getAttribute("aria-label");
      press(document.activeElement, "ArrowDown");
      seen.down = document.activeElement.getAttribute("aria-label");
      document.activeElement.click();
      seen.opened = [$("dialog").open, location.hash, $("dialog h2").textContent];
      press($("dialog h2"), "ArrowRight"); seen.next = $("dialog h2").textContent;
      $("dialog [data-by='0']").click(); await wait(50);
      seen.closed = [$("dialog").open, location.hash];
      $("#later").click(); seen.page_two = found();
    """
    seen = drive(run, tmp_path, steps)
    frames = run.samples
    adapter, base = frames["adapter"], frames["base"]

    assert sorted(seen["initial"]) == sorted(frames)
    assert seen["by_name"] == sorted(frames)
    assert seen["by_name_down"] == sorted(frames, reverse=True)
    made_in = {r["variant"]: r["make_s"] for r in run.leaderboard["rows"] if r["make_s"] is not None}
    assert seen["by_made_in"] == [*sorted(made_in, key=made_in.__getitem__), "base"]  # unmeasured last
    assert seen["sorted_column"] == "made in ascending"

    def samples(kept: Any, of: str = "adapter") -> str:
        return f"{int(kept.sum())} samples of {of} in {frames[of][kept].problem_id.nunique()} problems;"

    assert seen["all"] == "168 samples of adapter in 42 problems; showing 1–40."
    assert seen["errors_only"].startswith(samples(adapter.outcome == "error"))
    assert seen["hash_outcome"] == "#outcome=error"
    family = adapter.problem_id.map(lambda p: run.problems[p].family)
    assert seen["one_family"].startswith(samples(family == "lists"))
    assert seen["differing"].startswith(samples((adapter.outcome == "pass") != (base.outcome == "pass")))
    assert seen["of_base"].startswith("168 samples of base")
    assert seen["differs_off"] is True
    text = adapter.program.str.contains("result.append", regex=False)
    assert seen["searched"].startswith(samples(text))
    assert seen["nothing"] == "No sample matches. Loosen a filter."

    assert seen["tab_stops"] == 1
    assert seen["moved"].startswith("adapter, pocket/test/0000, sample 1: ")
    assert seen["down"].startswith("adapter, pocket/test/0001, sample 1: ")
    assert seen["opened"] == [
        True,
        link("adapter", "pocket/test/0001", 1),
        "pocket/test/0001composition · adapter · sample 1",
    ]
    assert seen["next"].endswith("adapter · sample 2")
    assert seen["closed"] == [False, "#samples"]
    assert seen["page_two"].endswith("showing 41–42.")


def test_a_linked_sample_shows_what_the_data_says(run: SyntheticRun, tmp_path: Path) -> None:
    frame = run.samples["gguf-q8_0"]
    frame["completion"] = (
        "🙂 Here it is:\n" + frame["completion"]
    )  # the program is cut out of it and put back
    row = frame[frame.outcome == "fail"].iloc[3]
    problem = run.problems[row.problem_id]
    wrapped = next(iter(run.problems.values()))
    run.problems[wrapped.id] = replace(wrapped, instruction=f"Write the body.\n{wrapped.prompt}")
    steps = """
      seen.title = $("dialog h2").textContent;
      seen.ruling = $("dialog .ruling").textContent;
      seen.program = [...$("dialog .pair pre.code").querySelectorAll(".l")].map((l) => l.textContent).join("\\n");
      seen.others = $$("dialog .others h4").map((h) => h.textContent);
      seen.folded = $$("dialog details pre").map((p) => p.textContent);
      seen.variant = $("#filters select").value;
      seen.seed = $("dialog .measures").textContent.split("seed ")[1];
      seen.statement = $("dialog .statement").textContent;
      $("dialog [data-by='0']").click();
      set($("#filters select"), "base"); $("#filters input:checked").click(); $("#filters input:checked").click();
      seen.task = $("#list .task:not(th)").textContent;
      $("#list .cell").click();
      seen.code = $("dialog pre.statement").textContent;
    """
    fragment = (
        "#variant=base&outcome=fail,timeout&" + link("gguf-q8_0", row.problem_id, int(row["index"]))[1:]
    )
    seen = drive(run, tmp_path, steps, fragment)
    assert seen["title"] == f"{problem.id}{problem.family} · gguf-q8_0 · sample {row['index']}"
    assert seen["ruling"] == f"fail  {row.detail}"
    assert seen["program"] == row.program.rstrip("\n")
    same = {
        v: f[(f.problem_id == problem.id) & (f["index"] == row["index"])].iloc[0]
        for v, f in run.samples.items()
    }
    others = [r["variant"] for r in run.leaderboard["rows"] if r["variant"] != "gguf-q8_0"]
    assert sorted(seen["others"]) == sorted(f"{v} {same[v].outcome}" for v in others)
    assert seen["folded"][:2] == [row.prompt, row.completion]
    assert seen["variant"] == "base"
    assert seen["seed"] == str(row.seed)
    assert seen["statement"] == problem.instruction.replace("`", "")
    # A statement that only wraps the code is shown as the code, and told in the list by its docstring.
    assert seen["task"] == "Return the sum of all values of xs, each times 2."
    assert seen["code"] == wrapped.prompt.rstrip().replace("\n", "")


def test_hostile_samples_do_nothing(run: SyntheticRun, tmp_path: Path) -> None:
    hostile = make_hostile(run)
    variant = NAME + "adapter"
    problem = next(iter(hostile.problems))
    steps = """
      seen.opened = $("dialog").open;
      seen.text = $("dialog .viewer-body").textContent;
      seen.title = document.title;
      seen.elements = ["img", "script", "style", "iframe"].map((t) => document.querySelectorAll(t).length);
      seen.handlers = [...document.querySelectorAll("*")]
        .filter((n) => [...n.attributes].some((a) => a.name.startsWith("on"))).length;
      $$(".board thead button").forEach((b) => b.click());
      const search = $("#filters input[type=search]");
      search.value = "<" + "/SCRIPT>"; search.dispatchEvent(new Event("input"));
      await wait(400); seen.found = found();
    """
    seen = drive(hostile, tmp_path, steps, link(variant, problem, 0))
    assert seen["opened"] is True
    assert "pwned" not in seen["title"].replace("document.title='pwned'", "")
    assert seen["title"].startswith("</script>")
    assert seen["elements"] == [0, 3, 1, 0]  # data, script, driver
    assert seen["handlers"] == 0
    assert HOSTILE[:40] in seen["text"]
    assert "⟨U+202E⟩" in seen["text"]
    assert "⟨U+D800⟩" in seen["text"]
    assert "168 samples" in seen["found"]
