"use strict";
/* Sorting, filtering and showing samples. Text from a model reaches the page through textContent only.

   Data, as harness/report/sample_browser.py packs it (JSON, deflated, in base64): {reference, variants, problems: [[id,
   family, instruction, prompt, checks, canonical, entry point]], samples: {variant: {column: [...]}}, strings}. The four
   texts of a problem hold places in `strings`, text columns the differences of such places; `problem` holds places in
   `problems`; `program_at` is where a completion had the program that was cut out of it. */
(() => {
  const OUTCOMES = ["pass", "fail", "error", "timeout", "memory", "output", "infra"];
  const LETTER = { pass: "", fail: "", error: "e", timeout: "t", memory: "m", output: "o", infra: "i" };
  const TEXTS = new Set(["prompt", "completion", "program", "detail", "output", "rule", "finish_reason", "mode", "outcome", "seed"]);
  const PAGE = 40;
  const MANY = 12; // with more samples a problem than this, unchosen variants show a count

  /* ---------- small helpers ---------- */
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === false || value == null) continue;
      if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  }
  const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const visible = (text) =>
    String(text).replace(UNPRINTABLE, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  /* A statement's `code` in backticks; no other markup is read. */
  const inline = (text) => visible(text).split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
  /* What a problem asks, in a line: its own words where it has any, else the docstring of the function asked for. */
  function task(p) {
    if (p.instruction && !p.instruction.includes(p.prompt.trim())) return p.instruction.trim().split("\n")[0];
    const body = p.prompt.slice(Math.max(0, p.prompt.lastIndexOf(`def ${p.entry}(`)));
    const doc = /("""|''')\s*([^]*?)\s*(?:\1|\n\s*\n|>>>|$)/.exec(body);
    return doc && doc[2] ? doc[2].replace(/\s+/g, " ") : body.split("\n")[0];
  }
  const plural = (n, word) => `${n.toLocaleString("en").replace(/,/g, "\u202f")} ${word}${n === 1 ? "" : "s"}`;

  /* ---------- the leaderboard's sorting ---------- */
  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = [...table.tBodies[0].rows];
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const head = button.closest("th");
      const flip = { ascending: "descending", descending: "ascending" };
      const order = flip[head.getAttribute("aria-sort")] || button.dataset.first;
      for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const key = (row) => {
        const raw = row.cells[head.cellIndex].dataset.sort;
        return raw === undefined ? null : head.classList.contains("name") ? raw : Number(raw);
      };
      const sign = order === "ascending" ? 1 : -1;
      const sorted = [...rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what was not measured comes last
        return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
      });
      table.tBodies[0].append(...sorted);
    });
  }

  /* ---------- unpacking, when the samples are looked at or linked to ---------- */
  const packed = document.getElementById("data");
  if (!packed) return;
  const place = document.getElementById("samples");
  const notice = document.getElementById("found");
  async function unpack() {
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }
  let asked = false;
  function start() {
    if (asked) return;
    asked = true;
    notice.textContent = "Unpacking the samples…";
    unpack().then((data) => { browse(data); place.dataset.state = "ready"; }).catch((error) => {
      place.dataset.state = "failed";
      notice.textContent = `The samples cannot be unpacked in this browser (${error}); they are in the run's samples.`;
    });
  }
  if (location.hash.includes("=")) start();
  else new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) start(); }, { rootMargin: "800px" }).observe(place);
  addEventListener("hashchange", () => { if (location.hash.includes("=")) start(); });

  function browse(DATA) {
    /* ---------- access to the data ---------- */
    const problems = DATA.problems.map(([id, family, instruction, prompt, checks, canonical, entry], place) => ({
      place, id, family, instruction: DATA.strings[instruction], prompt: DATA.strings[prompt],
      checks: DATA.strings[checks], canonical: DATA.strings[canonical], entry,
    }));
    const placeOf = new Map(problems.map((p) => [p.id, p.place]));
    const families = [...new Set(problems.map((p) => p.family))].filter(Boolean).sort();
    for (const columns of Object.values(DATA.samples))
      for (const name of TEXTS) {
        let at = 0;
        if (columns[name]) columns[name] = columns[name].map((step) => (at += step));
      }
    const byProblem = {}; // variant → for each problem, its rows in order of sample index
    for (const variant of DATA.variants) {
      const lists = problems.map(() => []);
      DATA.samples[variant].problem.forEach((place, row) => lists[place].push(row));
      byProblem[variant] = lists;
    }
    const get = (variant, row, column) => {
      const values = DATA.samples[variant][column];
      if (!values) return null;
      return TEXTS.has(column) ? DATA.strings[values[row]] : values[row];
    };
    const completionOf = (variant, row) => {
      const [around, at] = [get(variant, row, "completion"), get(variant, row, "program_at")];
      return at < 0 ? around : around.slice(0, at) + get(variant, row, "program") + around.slice(at);
    };
    const rowAt = (variant, place, index) => byProblem[variant][place].find((row) => get(variant, row, "index") === index);

    /* ---------- state, which lives in the address so that it can be linked ---------- */
    const FIRST = DATA.variants.find((v) => v !== DATA.reference) || DATA.variants[0];
    const initial = () => ({ variant: FIRST, outcome: new Set(), family: "", q: "", differs: false, page: 0, sample: null });
    let state = initial();

    function readHash() {
      const next = initial();
      for (const part of location.hash.slice(1).split("&")) {
        const at = part.indexOf("=");
        if (at < 0) continue;
        const name = part.slice(0, at);
        let values;
        try { values = part.slice(at + 1).split(",").map(decodeURIComponent); } catch { continue; }
        if (name === "variant" && DATA.variants.includes(values[0])) next.variant = values[0];
        if (name === "outcome") next.outcome = new Set(values.filter((o) => OUTCOMES.includes(o)));
        if (name === "family" && families.includes(values[0])) next.family = values[0];
        if (name === "q") next.q = values[0];
        if (name === "differs") next.differs = values[0] === "1";
        if (name === "page") next.page = Math.max(0, Number.parseInt(values[0], 10) - 1 || 0);
        if (name === "sample" && values.length === 3 && DATA.variants.includes(values[0]) && placeOf.has(values[1])) {
          const sample = { variant: values[0], place: placeOf.get(values[1]), index: Number(values[2]) };
          if (rowAt(sample.variant, sample.place, sample.index) !== undefined) next.sample = sample;
        }
      }
      return next;
    }
    function writeHash() {
      const parts = [];
      const put = (name, ...values) => parts.push(`${name}=${values.map((v) => encodeURIComponent(v)).join(",")}`);
      if (state.variant !== FIRST) put("variant", state.variant);
      if (state.outcome.size) put("outcome", ...state.outcome);
      if (state.family) put("family", state.family);
      if (state.q) put("q", state.q);
      if (state.differs) put("differs", 1);
      if (state.page) put("page", state.page + 1);
      if (state.sample) put("sample", state.sample.variant, problems[state.sample.place].id, state.sample.index);
      history.replaceState(null, "", `#${parts.join("&") || "samples"}`);
    }

    /* ---------- filtering ---------- */
    function matcher() {
      const { variant, outcome, family, differs } = state;
      const q = state.q.trim().toLowerCase();
      // Each distinct text is searched once, however many samples share it.
      const hits = q ? DATA.strings.map((text) => text.toLowerCase().includes(q)) : null;
      const columns = DATA.samples[variant];
      const inProblem = problems.map((p, place) => {
        if (!q) return true;
        const [id, , instruction, prompt] = DATA.problems[place];
        return id.toLowerCase().includes(q) || hits[instruction] || hits[prompt];
      });
      return (row) => {
        const place = columns.problem[row];
        if (family && problems[place].family !== family) return false;
        const result = get(variant, row, "outcome");
        if (outcome.size && !outcome.has(result)) return false;
        if (differs && !differsFromReference(variant, row)) return false;
        if (!q || inProblem[place]) return true;
        return ["program", "completion", "detail", "output"].some((c) => columns[c] && hits[columns[c][row]]);
      };
    }
    /* One passed and the other did not: a fail against an error is no difference in what is scored. */
    function differsFromReference(variant, row) {
      const columns = DATA.samples[variant];
      if (!byProblem[DATA.reference] || variant === DATA.reference) return false;
      const other = rowAt(DATA.reference, columns.problem[row], columns.index[row]);
      if (other === undefined) return false;
      const [mine, theirs] = [get(variant, row, "outcome"), get(DATA.reference, other, "outcome")];
      if (mine === "infra" || theirs === "infra") return false;
      return (mine === "pass") !== (theirs === "pass");
    }
    let found = []; // [{place, rows: matching rows of the chosen variant}]
    function search() {
      const matches = matcher();
      found = problems
        .map((p) => ({ place: p.place, rows: byProblem[state.variant][p.place].filter(matches) }))
        .filter((entry) => entry.rows.length);
      state.page = Math.min(state.page, Math.max(0, Math.ceil(found.length / PAGE) - 1));
    }

    /* ---------- controls ---------- */
    const form = document.getElementById("filters");
    const list = document.getElementById("list");
    const controls = {};
    function buildControls() {
      const changed = () => { state.page = 0; readControls(); refresh(); };
      const option = (value, text) => el("option", { value }, visible(text));
      controls.variant = el("select", { on: { change: changed } }, ...DATA.variants.map((v) => option(v, v)));
      controls.family = el("select", { on: { change: changed } }, option("", "all"), ...families.map((f) => option(f, f)));
      let timer;
      const soon = () => { clearTimeout(timer); timer = setTimeout(changed, 150); };
      controls.q = el("input", { type: "search", placeholder: "program, output, problem", size: 24, on: { input: soon } });
      controls.differs = el("input", { type: "checkbox", on: { change: changed } });
      controls.outcomes = el("div", { class: "chips" });
      form.append(
        el("label", {}, "variant", controls.variant),
        el("fieldset", {}, el("legend", {}, "outcome (none checked: all)"), controls.outcomes),
      );
      if (families.length) form.append(el("label", {}, "family", controls.family));
      form.append(el("label", {}, "text", controls.q));
      if (byProblem[DATA.reference] && DATA.variants.length > 1)
        form.append(el("label", { class: "check" }, controls.differs, visible(`differs from ${DATA.reference}`)));
      form.addEventListener("submit", (event) => event.preventDefault());
      controls.changed = changed;
      form.hidden = false;
      document.querySelector(".hint").hidden = false;
    }
    function readControls() {
      state.variant = controls.variant.value;
      state.family = controls.family.value;
      state.q = controls.q.value;
      state.differs = controls.differs.checked && state.variant !== DATA.reference;
      state.outcome = new Set([...controls.outcomes.querySelectorAll("input:checked")].map((box) => box.value));
    }
    function showControls() {
      controls.variant.value = state.variant;
      controls.family.value = state.family;
      if (controls.q.value !== state.q) controls.q.value = state.q;
      controls.differs.checked = state.differs;
      controls.differs.disabled = state.variant === DATA.reference;
      const counts = new Map();
      DATA.samples[state.variant].outcome.forEach((place) => {
        const name = DATA.strings[place];
        counts.set(name, (counts.get(name) || 0) + 1);
      });
      const focused = document.activeElement && document.activeElement.value;
      const inside = controls.outcomes.contains(document.activeElement);
      controls.outcomes.replaceChildren(
        ...OUTCOMES.filter((o) => counts.has(o) || state.outcome.has(o)).map((o) =>
          el("label", {},
            el("input", { type: "checkbox", value: o, checked: state.outcome.has(o), on: { change: controls.changed } }),
            el("span", { class: `t-${o}` }, o), el("small", {}, String(counts.get(o) || 0)))),
      );
      if (inside) controls.outcomes.querySelector(`input[value="${focused}"]`)?.focus();
    }

    /* ---------- the list ---------- */
    function cell(variant, row, options) {
      const outcome = get(variant, row, "outcome");
      const sample = { variant, place: DATA.samples[variant].problem[row], index: get(variant, row, "index") };
      const label = `${variant}, ${problems[sample.place].id}, sample ${sample.index}: ${outcome}`;
      return el("button", {
        type: "button", class: `cell ${outcome}${options.off ? " off" : ""}`, title: visible(label), "aria-label": visible(label),
        tabindex: options.tab ? 0 : -1, "aria-current": options.current ? "true" : null,
        on: { click: () => open(sample) },
      }, LETTER[outcome]);
    }
    function cells(variant, place, matching) {
      const rows = byProblem[variant][place];
      if (rows.length > MANY && !matching) {
        const passed = rows.filter((row) => get(variant, row, "outcome") === "pass").length;
        return el("span", { class: "quiet" }, `${passed}/${rows.length}`);
      }
      return el("div", { class: rows.length > MANY ? "cells many" : "cells" }, ...rows.map((row) => cell(variant, row, { off: matching && !matching.has(row) })));
    }
    function showList() {
      const from = state.page * PAGE;
      const shown = found.slice(from, from + PAGE);
      const samples = found.reduce((n, entry) => n + entry.rows.length, 0);
      document.getElementById("found").textContent = found.length
        ? `${plural(samples, "sample")} of ${visible(state.variant)} in ${plural(found.length, "problem")}; showing ${from + 1}–${from + shown.length}.`
        : "No sample matches. Loosen a filter.";
      if (!found.length) { list.replaceChildren(); return; }
      const withFamily = families.length > 0;
      const head = el("tr", {}, el("th", { scope: "col" }, "problem"), withFamily ? el("th", { scope: "col" }, "family") : null,
        el("th", { scope: "col", class: "task" }, "task"),
        ...DATA.variants.map((v) => el("th", { scope: "col", class: v === state.variant ? "chosen" : null }, visible(v))));
      const rows = shown.map(({ place, rows }) => {
        const p = problems[place];
        return el("tr", {}, el("th", { scope: "row" }, visible(p.id)), withFamily ? el("td", { class: "quiet" }, visible(p.family)) : null,
          el("td", { class: "task" }, ...inline(task(p))),
          ...DATA.variants.map((v) => el("td", {}, cells(v, place, v === state.variant ? new Set(rows) : null))));
      });
      list.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)), pager());
      const first = list.querySelector(".cell:not(.off)");
      if (first) first.tabIndex = 0;
    }
    function pager() {
      const pages = Math.ceil(found.length / PAGE);
      if (pages < 2) return "";
      const turn = (by) => () => {
        state.page += by; writeHash(); showList();
        document.getElementById("samples").scrollIntoView();
        document.getElementById(by > 0 ? "later" : "earlier")?.focus();
      };
      return el("div", { class: "pager" },
        el("button", { class: "button", type: "button", id: "earlier", disabled: state.page === 0, on: { click: turn(-1) } }, "← earlier"),
        el("span", { class: "quiet" }, `page ${state.page + 1} of ${pages}`),
        el("button", { class: "button", type: "button", id: "later", disabled: state.page === pages - 1, on: { click: turn(1) } }, "later →"));
    }
    /* One tab stop for the whole grid; arrows move inside it. */
    list.addEventListener("keydown", (event) => {
      const here = event.target.closest(".cell");
      if (!here || !event.key.startsWith("Arrow")) return;
      event.preventDefault();
      const row = here.closest("tr");
      const inRow = [...row.querySelectorAll(".cell")];
      const column = inRow.indexOf(here);
      const next = {
        ArrowLeft: () => inRow[column - 1], ArrowRight: () => inRow[column + 1],
        ArrowUp: () => [...(row.previousElementSibling?.querySelectorAll(".cell") || [])][column],
        ArrowDown: () => [...(row.nextElementSibling?.querySelectorAll(".cell") || [])][column],
      }[event.key]?.();
      if (next) { here.tabIndex = -1; next.tabIndex = 0; next.focus(); }
    });

    /* ---------- one sample ---------- */
    const dialog = document.getElementById("viewer");
    let opener = null;
    function open(sample) {
      if (!dialog.open) opener = document.activeElement;
      state.sample = sample;
      writeHash();
      showSample();
    }
    function neighbour(by) {
      const { variant, place, index } = state.sample;
      const inList = variant === state.variant ? found : problems.map((p) => ({ place: p.place, rows: byProblem[variant][p.place] }));
      const flat = inList.flatMap((entry) => entry.rows.map((row) => ({ variant, place: entry.place, index: get(variant, row, "index") })));
      const at = flat.findIndex((s) => s.place === place && s.index === index);
      return at < 0 ? (by > 0 ? flat[0] : undefined) : flat[at + by];
    }
    dialog.addEventListener("close", () => {
      state.sample = null;
      writeHash();
      if (opener && opener.isConnected && opener !== document.body) opener.focus();
      else document.getElementById("samples").scrollIntoView();
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("pre, summary")) return;
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = by && neighbour(by);
      if (next) { event.preventDefault(); open(next); }
    });

    const KEYWORDS = "False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield";
    const TOKEN = new RegExp(`("""[^]*?"""|'''[^]*?'''|"(?:\\\\.|[^"\\\\\\n])*"|'(?:\\\\.|[^'\\\\\\n])*')|(#[^\\n]*)|\\b(${KEYWORDS})\\b|\\b(\\d[\\w.]*)`, "g");
    /* Python as lines of spans; `given` lines came with the problem, `changed` is a set of line numbers to mark. */
    function code(text, { given = 0, changed = new Set() } = {}) {
      const shown = visible(text.replace(/\n+$/, ""));
      const lines = [[]];
      const put = (piece, css) => piece.split("\n").forEach((part, i) => {
        if (i) lines.push([]);
        if (part) lines[lines.length - 1].push(css ? el("span", { class: css }, part) : part);
      });
      let last = 0;
      for (const m of shown.matchAll(TOKEN)) {
        put(shown.slice(last, m.index));
        put(m[0], m[1] !== undefined ? "s" : m[2] !== undefined ? "c" : m[3] !== undefined ? "k" : "n");
        last = m.index + m[0].length;
      }
      put(shown.slice(last));
      return el("pre", { class: "code", tabindex: 0 }, el("code", {}, ...lines.map((spans, i) =>
        el("span", { class: `l${i < given ? " given" : ""}${changed.has(i) ? " changed" : ""}` }, ...spans))));
    }
    /* Line numbers of `b` that are no part of a longest common subsequence with `a`. */
    function changedLines(a, b) {
      const [x, y] = [a.replace(/\n+$/, "").split("\n"), b.replace(/\n+$/, "").split("\n")];
      if (x.length * y.length > 250000) return new Set();
      const table = Array.from({ length: x.length + 1 }, () => new Uint16Array(y.length + 1));
      for (let i = x.length - 1; i >= 0; i--)
        for (let j = y.length - 1; j >= 0; j--)
          table[i][j] = x[i] === y[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
      const changed = new Set(y.keys());
      for (let i = 0, j = 0; i < x.length && j < y.length;) {
        if (x[i] === y[j]) { changed.delete(j); i++; j++; }
        else if (table[i + 1][j] >= table[i][j + 1]) i++;
        else j++;
      }
      return changed;
    }
    /* How many leading lines of a program are the problem's own and not the model's. */
    function givenLines(problem, program, completion) {
      const first = problem.prompt.split("\n").find((l) => l.trim());
      if (!first || !program.startsWith(problem.prompt) || completion.includes(first)) return 0;
      return problem.prompt.replace(/\n$/, "").split("\n").length;
    }
    function measures(variant, row) {
      const of = (column) => get(variant, row, column);
      const has = (column) => of(column) !== null && of(column) !== "";
      const s = (v) => (v < 1 ? `${(v * 1000).toFixed(1)} ms` : `${v.toFixed(2)} s`);
      const items = [];
      if (has("checks_total")) items.push(`${of("checks_passed") ?? "?"} of ${plural(of("checks_total"), "check")} passed`);
      if (has("cpu_s")) items.push(`CPU ${s(of("cpu_s"))}`);
      if (has("wall_s")) items.push(`wall ${s(of("wall_s"))}`);
      if (has("peak_bytes")) items.push(`peak ${(of("peak_bytes") / 2 ** 20).toFixed(1)} MiB`);
      if (has("mode")) items.push(`judged ${of("mode")}`);
      if (has("n_tokens")) items.push(plural(of("n_tokens"), "token"));
      if (has("finish_reason")) items.push(`ended by ${of("finish_reason")}`);
      if (has("rule")) items.push(`extracted by: ${of("rule")}`);
      if (has("seed")) items.push(`seed ${of("seed")}`);
      return el("p", { class: "measures" }, ...items.map((text) => el("span", {}, visible(text))));
    }
    function fold(title, body) { return body ? el("details", {}, el("summary", {}, title), body) : null; }
    const plain = (text) => (text ? el("pre", { class: "text", tabindex: 0 }, visible(text)) : null);

    function otherVariants(sample, program) {
      const cards = DATA.variants.filter((v) => v !== sample.variant).map((variant) => {
        const row = rowAt(variant, sample.place, sample.index);
        const name = el("h4", {}, visible(variant));
        if (row === undefined) return el("div", {}, name, el("p", {}, "no sample with this index"));
        const outcome = get(variant, row, "outcome");
        const theirs = get(variant, row, "program");
        const go = el("button", { class: "link", type: "button", on: { click: () => open({ ...sample, variant }) } }, visible(variant));
        name.replaceChildren(go, " ", el("span", { class: `t-${outcome}` }, outcome));
        if (theirs === program) return el("div", {}, name, el("p", {}, "the same program"));
        return el("div", {}, name, el("p", {}, visible((get(variant, row, "detail") || "").slice(0, 200))),
          code(theirs, { changed: changedLines(program, theirs) }));
      });
      if (!cards.length) return null;
      return el("div", {}, el("h3", {}, `Sample ${sample.index} of the other variants (marked: lines that differ)`), el("div", { class: "others" }, ...cards));
    }
    /* The problem's own words; where those only wrap its code, the code. */
    function statement(p) {
      if (p.instruction && !p.instruction.includes(p.prompt.trim())) return el("p", { class: "statement" }, ...inline(p.instruction));
      const shown = code(p.prompt);
      shown.classList.add("statement");
      return shown;
    }
    function showSample() {
      const sample = state.sample;
      if (!sample) { if (dialog.open) dialog.close(); return; }
      const { variant, place, index } = sample;
      const row = rowAt(variant, place, index);
      const p = problems[place];
      const outcome = get(variant, row, "outcome");
      const [program, completion] = [get(variant, row, "program"), completionOf(variant, row)];
      const step = (by, text) => {
        const target = neighbour(by);
        return el("button", { class: "button", type: "button", "data-by": by, disabled: !target, on: { click: () => target && open(target) } }, text);
      };
      const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.by : null;
      const tracks = DATA.variants.map((v) => el("div", { class: "track" }, el("span", { class: v === variant ? null : "quiet" }, visible(v)),
        el("div", { class: byProblem[v][place].length > MANY ? "cells many" : "cells" }, ...byProblem[v][place].map((r) =>
          cell(v, r, { tab: true, current: v === variant && get(v, r, "index") === index })))));
      dialog.replaceChildren(
        el("div", { class: "bar-top" },
          el("h2", { tabindex: -1 }, visible(p.id), el("small", {}, visible(`${p.family ? `${p.family} · ` : ""}${variant} · sample ${index}`))),
          step(-1, "← previous"), step(1, "next →"),
          el("button", { class: "button", type: "button", "data-by": "0", on: { click: () => dialog.close() } }, "close")),
        el("div", { class: "viewer-body" },
          statement(p),
          el("div", { class: "tracks" }, ...tracks),
          el("p", { class: "ruling" }, el("b", { class: `t-${outcome}` }, outcome), visible(get(variant, row, "detail") ? `  ${get(variant, row, "detail")}` : "")),
          measures(variant, row),
          el("div", { class: "pair" },
            el("div", {}, el("h3", {}, "Program"), program ? code(program, { given: givenLines(p, program, completion) }) : el("p", { class: "quiet" }, "nothing was extracted")),
            el("div", {}, el("h3", {}, "Its output"), plain(get(variant, row, "output")) || el("p", { class: "quiet" }, "none"),
              el("h3", {}, "Checks"), p.checks ? code(p.checks.replace(/^\n+/, "")) : el("p", { class: "quiet" }, "none"))),
          otherVariants(sample, program),
          fold("Prompt as the model got it", plain(get(variant, row, "prompt"))),
          fold("Completion as the model gave it", plain(completion)),
          fold("Canonical solution", p.canonical ? code(p.prompt + p.canonical) : null)));
      dialog.scrollTop = 0;
      if (!dialog.open) dialog.showModal();
      const back = focused != null && dialog.querySelector(`[data-by="${focused}"]:enabled`);
      (back || dialog.querySelector("h2")).focus({ preventScroll: true });
    }

    /* ---------- start ---------- */
    function refresh() { search(); showControls(); showList(); writeHash(); }
    function fromHash() { state = readHash(); search(); showControls(); showList(); showSample(); }
    function land() { // a link to filtered samples leads to them
      if (location.hash.includes("=") && !state.sample) document.getElementById("samples").scrollIntoView();
    }
    buildControls();
    fromHash();
    land();
    addEventListener("hashchange", () => { if (location.hash.includes("=")) { fromHash(); land(); } });
  }
})();
