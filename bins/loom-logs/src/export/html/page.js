"use strict";
// Everything of the run is put into the page as text (textContent), never as HTML. A log is parsed
// and drawn when it is opened, so that a thousand jobs cost little.
(() => {
  const byId = (id) => document.getElementById(id);
  const run = JSON.parse(byId("run").textContent);
  const CHUNK = 2000;

  function el(name, classes, text) {
    const node = document.createElement(name);
    if (classes) node.className = classes;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function time(ms) {
    if (ms < 1000) return `${Math.round(ms)} ms`;
    const s = ms / 1000;
    if (s < 60) return `${s.toFixed(1)} s`;
    if (s < 3600) return `${Math.floor(s / 60)}m ${String(Math.floor(s % 60)).padStart(2, "0")}s`;
    return `${Math.floor(s / 3600)}h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")}m`;
  }
  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < 3) { bytes /= 1024; unit += 1; }
    return unit ? `${bytes.toFixed(1)} ${units[unit]}` : `${bytes} B`;
  }
  const outcome = (it) => it.status + (it.reason ? ` (${it.reason.replaceAll("_", " ")})` : "");

  // --- logs ---------------------------------------------------------------------------------

  const logs = new Map();
  function logOf(part) {
    if (part.log === null) return { cut: 0, lines: [] };
    if (!logs.has(part.log)) logs.set(part.log, JSON.parse(byId(`log-${part.log}`).textContent));
    return logs.get(part.log);
  }

  // Escape sequences: colours and styles (SGR) are kept, all others dropped.
  const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)[ -\/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -\/]*[0-~])|\x9b/g;
  const plain = (text) => visible(text.replace(ESCAPE, ""));
  // What is left of control characters is shown as its picture.
  function visible(text) {
    return text.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, (c) => String.fromCharCode(c === "\x7f" ? 0x2421 : 0x2400 + c.charCodeAt(0)));
  }

  function palette(n) {
    if (n < 16) return `var(--c${n})`;
    if (n >= 232) { const v = 8 + (n - 232) * 10; return `rgb(${v},${v},${v})`; }
    const level = (v) => (v ? 55 + v * 40 : 0);
    n -= 16;
    return `rgb(${level(Math.floor(n / 36))},${level(Math.floor(n / 6) % 6)},${level(n % 6)})`;
  }
  // The colour behind 38 or 48; `at` moves behind what was read.
  function extended(codes, at) {
    const kind = codes[at.i + 1];
    if (kind === 5) { at.i += 2; return palette(Math.min(255, codes[at.i] || 0)); }
    if (kind === 2) { const rgb = codes.slice(at.i + 2, at.i + 5).map((v) => Math.min(255, v || 0)); at.i += 4; return `rgb(${rgb.join(",")})`; }
    at.i += 1;
    return null;
  }
  function colon(style, code) {
    const parts = code.split(":").map((v) => (v === "" ? 0 : parseInt(v, 10)));
    if (parts[0] === 4) { style.u = parts[1] !== 0; return; }
    if (parts[0] !== 38 && parts[0] !== 48) return;
    const rgb = parts.length > 5 ? parts.slice(3, 6) : parts.slice(2, 5);
    const value = parts[1] === 5 ? palette(Math.min(255, parts[2] || 0)) : `rgb(${rgb.map((v) => Math.min(255, v || 0)).join(",")})`;
    if (parts[0] === 38) style.fg = value; else style.bg = value;
  }
  function restyle(style, parameters) {
    const texts = parameters === "" ? ["0"] : parameters.split(";");
    const codes = texts.map((v) => (v === "" ? 0 : parseInt(v, 10)));
    const at = { i: 0 };
    for (; at.i < codes.length; at.i += 1) {
      const c = codes[at.i];
      if (texts[at.i].includes(":")) colon(style, texts[at.i]);
      else if (c === 0) { for (const key of Object.keys(style)) delete style[key]; }
      else if (c === 1) style.b = true;
      else if (c === 2) style.f = true;
      else if (c === 3) style.i = true;
      else if (c === 4 || c === 21) style.u = true;
      else if (c === 7) style.r = true;
      else if (c === 8) style.v = true;
      else if (c === 9) style.x = true;
      else if (c === 22) { delete style.b; delete style.f; }
      else if (c === 23) delete style.i;
      else if (c === 24) delete style.u;
      else if (c === 27) delete style.r;
      else if (c === 28) delete style.v;
      else if (c === 29) delete style.x;
      else if (c >= 30 && c <= 37) style.fg = palette(c - 30);
      else if (c === 38) { const v = extended(codes, at); if (v) style.fg = v; }
      else if (c === 39) delete style.fg;
      else if (c >= 40 && c <= 47) style.bg = palette(c - 40);
      else if (c === 48) { const v = extended(codes, at); if (v) style.bg = v; }
      else if (c === 49) delete style.bg;
      else if (c >= 90 && c <= 97) style.fg = palette(c - 82);
      else if (c >= 100 && c <= 107) style.bg = palette(c - 92);
    }
  }

  // Puts `text` into `target`, matches of `needle` marked.
  function marked(target, text, needle) {
    if (!needle) { target.append(text); return; }
    const lower = text.toLowerCase();
    let from = 0;
    for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, from)) {
      target.append(text.slice(from, at), el("mark", "", text.slice(at, at + needle.length)));
      from = at + needle.length;
    }
    target.append(text.slice(from));
  }
  function styled(target, text, style, needle) {
    if (text === "") return;
    text = visible(text);
    if (!Object.keys(style).length) { marked(target, text, needle); return; }
    const span = el("span", ["b", "f", "i", "u", "x", "v"].filter((key) => style[key]).join(" "));
    const [fg, bg] = style.r ? [style.bg || "var(--log)", style.fg || "var(--log-text)"] : [style.fg, style.bg];
    if (fg) span.style.color = fg;
    if (bg) span.style.backgroundColor = bg;
    marked(span, text, needle);
    target.append(span);
  }
  // A line with its colours. A match that a change of colour runs through is marked without them.
  function drawn(line, needle) {
    const target = el("span", "t");
    if (needle && plain(line).toLowerCase().includes(needle) && line.includes("\x1b")) {
      const style = {};
      const pieces = line.split(ESCAPE);
      if (!pieces.some((piece) => piece && piece.toLowerCase().includes(needle))) {
        marked(target, plain(line), needle);
        return target;
      }
    }
    const style = {};
    let from = 0;
    for (const found of line.matchAll(ESCAPE)) {
      styled(target, line.slice(from, found.index), style, needle);
      if (found[2] === "m") restyle(style, found[1]);
      from = found.index + found[0].length;
    }
    styled(target, line.slice(from), style, needle);
    return target;
  }
  const KIND = { o: "", e: " e", n: " s" };
  function rows(lines, from, to, needle) {
    const fragment = document.createDocumentFragment();
    for (let i = from; i < to; i += 1) {
      const row = el("div", `row${KIND[lines[i][0]]}`);
      row.append(el("span", "n", i + 1), drawn(lines[i].slice(1), needle));
      fragment.append(row);
    }
    return fragment;
  }
  // A log whose last lines are drawn; earlier ones on demand.
  function logView(part, needle) {
    const log = logOf(part);
    const view = el("div", "log");
    view.tabIndex = 0;
    if (log.cut > 0) {
      view.append(el("p", "notice", `The first ${size(log.cut)} of ${size(part.bytes)} are not in this file; "loom logs show" has them.`));
    }
    let lines = log.lines;
    let numbers = null;
    if (needle) {
      numbers = lines.map((_, i) => i).filter((i) => plain(lines[i].slice(1)).toLowerCase().includes(needle));
    }
    if (numbers) {
      for (const i of numbers.slice(0, CHUNK)) view.append(rows(lines, i, i + 1, needle));
      if (numbers.length > CHUNK) view.append(el("p", "notice", `${numbers.length - CHUNK} more lines match.`));
      return view;
    }
    if (!lines.length) { view.append(el("p", "notice", part.is_step ? "It wrote nothing." : "Nothing was said.")); return view; }
    let first = Math.max(0, lines.length - CHUNK);
    const button = el("button", "");
    button.type = "button";
    const label = () => { button.hidden = first === 0; button.textContent = `Show ${Math.min(CHUNK, first)} earlier lines`; };
    button.addEventListener("click", () => {
      const from = Math.max(0, first - CHUNK);
      button.after(rows(lines, from, first, ""));
      first = from;
      label();
    });
    label();
    view.append(button, rows(lines, first, lines.length, ""));
    return view;
  }

  // --- head ---------------------------------------------------------------------------------

  function head() {
    const title = el("h1");
    title.append(el("span", `badge ${run.status}`, outcome(run)), el("code", "", run.run_id));
    const theme = el("button", "spread", "◐");
    theme.type = "button";
    theme.title = "Dark or light";
    theme.addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    title.append(theme);
    const facts = el("ul", "facts");
    const fact = (name, value) => {
      if (value === null || value === "") return;
      const item = el("li", "", `${name} `);
      item.append(el("b", "", value));
      facts.append(item);
    };
    const counts = ["success", "failure", "skipped", "cancelled"].filter((key) => run.counts[key]).map((key) => `${run.counts[key]} ${key}`);
    fact("began", run.started_at.replace("T", " ").slice(0, 19) + " UTC");
    fact("took", time(run.duration_ms));
    fact("exit code", String(run.exit_code));
    fact("jobs", run.counts.total ? `${run.counts.total}: ${counts.join(", ")}` : "none");
    fact("branch", run.branch);
    fact("commit", run.head_sha && run.head_sha.slice(0, 12));
    fact("workflow", run.workflow);
    byId("head").append(title, facts);
    byId("foot").textContent = `${run.command} · loom ${run.loom_version}`;
  }
  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("loom-theme", theme); } catch { /* a file may have no storage */ }
  }
  function firstTheme() {
    let saved = null;
    try { saved = localStorage.getItem("loom-theme"); } catch { /* as above */ }
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    document.documentElement.dataset.theme = saved || (dark.matches ? "dark" : "light");
  }

  // --- what failed --------------------------------------------------------------------------

  function failure() {
    if (run.status === "success" || run.status === "skipped") return;
    const box = byId("failure");
    const what = el("div", "what");
    box.append(what);
    box.hidden = false;
    if (run.failing === null) {
      what.append(el("h2", "", `The run: ${outcome(run)}`));
      const list = el("ul", "errors");
      run.errors.forEach((text) => list.append(el("li", "", text)));
      what.append(list);
      return;
    }
    const [place, partPlace] = run.failing;
    const job = run.jobs[place];
    const part = partPlace === null ? null : job.parts[partPlace];
    what.append(el("h2", "", `${job.label}${part ? ` › ${part.name}` : ""}: ${outcome(part || job)}`));
    if (part && part.command) what.append(el("code", "command", `$ ${part.command}`));
    const code = part && part.exit_code !== null ? `exit code ${part.exit_code}` : "";
    const line = [code, part && part.position, `after ${time((part || job).duration_ms)}`, job.message].filter(Boolean);
    what.append(el("div", "dim", line.join(" · ")));
    const others = run.jobs.filter((other, i) => i !== place && other.status === "failure" && !other.allowed);
    if (others.length) {
      const list = el("ul", "more");
      list.append(el("li", "dim", "Also failed: "));
      others.slice(0, 20).forEach((other) => {
        const item = el("li");
        item.append(link(other, null), ` ${other.message || outcome(other)}`);
        list.append(item);
      });
      if (others.length > 20) list.append(el("li", "dim", `and ${others.length - 20} more`));
      what.append(list);
    }
    if (part && part.log !== null) {
      const view = logView(part, "");
      view.id = "failing-log";
      box.append(view);
      requestAnimationFrame(() => { view.scrollTop = view.scrollHeight; });
    }
  }
  const anchor = (job, part) => `job/${encodeURIComponent(job.id)}${part ? `/${part.name}` : ""}`;
  function link(job, part) {
    const a = el("a", "", job.label);
    a.href = `#${anchor(job, part)}`;
    return a;
  }

  // --- timeline -----------------------------------------------------------------------------

  function timeline() {
    const ran = run.jobs.filter((job) => job.span);
    if (!ran.length) return;
    const box = byId("timeline");
    box.hidden = false;
    const from = Math.min(...ran.map((job) => job.span[0]));
    const to = Math.max(...ran.map((job) => job.span[1]), from + 1);
    const percent = (ms) => ((ms - from) / (to - from)) * 100;
    const scale = box.querySelector(".scale");
    const ticks = el("div", "track");
    for (let i = 0; i <= 4; i += 1) {
      const tick = el("span", "tick", time(from + ((to - from) * i) / 4));
      tick.style.left = `${i * 25}%`;
      ticks.append(tick);
    }
    scale.append(el("span"), ticks, el("span"));
    const place = (node, span) => {
      node.style.left = `${percent(span[0])}%`;
      node.style.width = `${Math.max(0, percent(span[1]) - percent(span[0]))}%`;
    };
    const list = document.createDocumentFragment();
    let stage = null;
    for (const job of ran) {
      if (job.stage !== stage) { stage = job.stage; list.append(el("div", "stage", stage)); }
      const row = el("button", "row");
      row.type = "button";
      row.title = `${job.label}: ${outcome(job)}, ${time(job.duration_ms)}`;
      const track = el("span", "track");
      const bar = el("span", "barbox");
      place(bar, job.span);
      const length = Math.max(job.span[1] - job.span[0], 0.001);
      for (const part of job.parts) {
        if (!part.span) continue;
        const piece = el("span", `step ${part.is_step ? part.status : "section"}`);
        piece.style.left = `${((part.span[0] - job.span[0]) / length) * 100}%`;
        piece.style.width = `${((part.span[1] - part.span[0]) / length) * 100}%`;
        piece.title = `${part.name}${part.command ? ` $ ${part.command}` : ""}: ${outcome(part)}, ${time(part.duration_ms)}`;
        bar.append(piece);
      }
      track.append(bar);
      const name = el("span", "name");
      name.append(el("span", `dot ${job.status}`), ` ${job.label}`);
      name.firstChild.style.display = "inline-block";
      row.append(name, track, el("span", "time", time(job.duration_ms)));
      row.addEventListener("click", () => reveal(job, null));
      list.append(row);
    }
    box.querySelector(".rows").append(list);
  }

  // --- jobs ---------------------------------------------------------------------------------

  const views = new Map();
  function jobView(job) {
    const box = el("details", "job");
    box.id = anchor(job, null);
    const summary = el("summary");
    summary.append(el("span", `dot ${job.status}`), el("span", "label", job.label), el("span", "dim", job.stage));
    summary.append(el("span", "message", job.status === "success" ? "" : outcome(job) + (job.allowed ? ", allowed" : "") + (job.message ? `: ${job.message}` : "")));
    const cost = [job.cpu_ms !== null && job.cpu_ms > 0 ? `cpu ${time(job.cpu_ms)}` : "", job.peak_rss_bytes ? size(job.peak_rss_bytes) : "", job.span ? time(job.duration_ms) : ""];
    summary.append(el("span", "time", cost.filter(Boolean).join(" · ")));
    box.append(summary);
    box.addEventListener("toggle", () => { if (box.open) fill(job); });
    views.set(job, { box, parts: null });
    return box;
  }
  // The parts of a job, made when it is first opened.
  function fill(job) {
    const view = views.get(job);
    if (view.parts) return view;
    view.parts = new Map();
    const list = el("div", "parts");
    for (const part of job.parts) {
      const box = el("details", `part${part.is_step ? "" : " section"}`);
      box.id = anchor(job, part);
      const summary = el("summary");
      summary.append(el("span", `dot ${part.status}`), el("span", "dim", part.name));
      summary.append(el("span", "command", part.command === null ? "" : `$ ${part.command}`));
      const code = part.exit_code ? `exit code ${part.exit_code} · ` : "";
      summary.append(el("span", "time", part.span ? code + time(part.duration_ms) : outcome(part)));
      box.append(summary);
      box.addEventListener("toggle", () => { if (box.open) open(part, box, needle); });
      view.parts.set(part, box);
      list.append(box);
    }
    if (!job.parts.length) list.append(el("p", "notice", job.message || outcome(job)));
    view.box.append(list);
    return view;
  }
  function open(part, box, wanted) {
    if (box.dataset.drawn === `=${wanted}`) return;
    box.dataset.drawn = `=${wanted}`;
    const old = box.querySelector(".log");
    if (old) old.remove();
    box.append(logView(part, wanted));
  }
  function reveal(job, part) {
    const view = fill(job);
    view.box.hidden = false;
    view.box.open = true;
    const box = part ? view.parts.get(part) : view.box;
    box.hidden = false;
    box.open = true;
    if (part) open(part, box, needle);
    box.scrollIntoView({ block: "start" });
  }

  // --- filter and search --------------------------------------------------------------------

  let needle = "";
  let only = null;
  let current = -1;
  function chips() {
    for (const status of ["success", "failure", "skipped", "cancelled"]) {
      if (!run.counts[status]) continue;
      const chip = el("button", "", `${run.counts[status]} ${status}`);
      chip.type = "button";
      chip.setAttribute("aria-pressed", "false");
      chip.addEventListener("click", () => {
        only = only === status ? null : status;
        for (const other of byId("chips").children) other.setAttribute("aria-pressed", String(other === chip && only !== null));
        apply();
      });
      byId("chips").append(chip);
    }
  }
  function matches(part) {
    return logOf(part).lines.filter((line) => plain(line.slice(1)).toLowerCase().includes(needle)).length;
  }
  function apply() {
    let lines = 0;
    let steps = 0;
    let opened = 0;
    for (const job of run.jobs) {
      const hits = needle ? job.parts.map((part) => [part, matches(part)]).filter(([, count]) => count) : [];
      const named = needle && job.label.toLowerCase().includes(needle);
      const shown = (only === null || job.status === only) && (!needle || named || hits.length > 0);
      const { box } = views.get(job);
      box.hidden = !shown;
      if (!shown) continue;
      const view = hits.length || views.get(job).parts ? fill(job) : null;
      const hit = new Map(hits);
      if (view) for (const [part, partBox] of view.parts) {
        partBox.hidden = hits.length > 0 && !hit.has(part);
        if (!needle) { if (partBox.open) open(part, partBox, ""); continue; }
        if (!hit.has(part)) continue;
        lines += hit.get(part);
        steps += 1;
        partBox.open = opened < 20;
        if (partBox.open) { open(part, partBox, needle); opened += 1; }
      }
      if (hits.length) box.open = true;
    }
    current = -1;
    byId("found").textContent = needle ? `${lines} ${lines === 1 ? "line" : "lines"} in ${steps} ${steps === 1 ? "step" : "steps"}` : "";
    document.body.dataset.search = needle;
  }
  function go(by) {
    const all = [...byId("list").querySelectorAll("mark")];
    if (!all.length) return;
    if (all[current]) all[current].classList.remove("on");
    current = (current + by + all.length) % all.length;
    all[current].classList.add("on");
    all[current].scrollIntoView({ block: "center" });
  }
  function search(text) {
    needle = text.trim().toLowerCase();
    apply();
    const url = needle ? `#q=${encodeURIComponent(text.trim())}` : "#";
    try { history.replaceState(null, "", url); } catch { /* not every origin may */ }
  }
  function fromHash() {
    const hash = location.hash.slice(1);
    if (hash.startsWith("q=")) {
      byId("search").value = decodeURIComponent(hash.slice(2));
      search(byId("search").value);
    } else if (hash.startsWith("job/")) {
      const [, id, ...rest] = hash.split("/");
      const job = run.jobs.find((it) => it.id === decodeURIComponent(id));
      if (job) reveal(job, job.parts.find((part) => part.name === rest.join("/")) || null);
    }
  }
  function listen() {
    let timer = 0;
    const input = byId("search");
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => search(input.value), 150); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); go(event.shiftKey ? -1 : 1); }
      if (event.key === "Escape") { input.value = ""; search(""); input.blur(); }
    });
    byId("next").addEventListener("click", () => go(1));
    byId("previous").addEventListener("click", () => go(-1));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && document.activeElement !== input) { event.preventDefault(); input.focus(); }
    });
    window.addEventListener("hashchange", fromHash);
  }

  firstTheme();
  head();
  failure();
  timeline();
  chips();
  const list = document.createDocumentFragment();
  for (const job of run.jobs) list.append(jobView(job));
  byId("list").append(list);
  byId("jobs").hidden = !run.jobs.length;
  listen();
  fromHash();
})();
