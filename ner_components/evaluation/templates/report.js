"use strict";
// The browser of documents. Texts and names reach the page through textContent only.
(() => {
  const PAGE = 10;
  const data = JSON.parse(document.getElementById("data").textContent);
  const { systems, labels, kinds, tags, genres, documents } = data;
  const $ = (id) => document.getElementById(id);
  const words = kinds.map((x) => x.replaceAll("_", " "));
  const CORRECT = kinds.indexOf("correct"), MISSED = kinds.indexOf("missed");
  const NOT_COUNTED = kinds.indexOf("not_counted");
  const isMistake = (kind) => kind !== CORRECT && kind < NOT_COUNTED;
  const number = new Intl.NumberFormat("en");

  function make(tag, options = {}, ...children) {
    const { className, ...rest } = options;
    const element = document.createElement(tag);
    if (className) element.className = className;
    for (const [name, value] of Object.entries(rest)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Facts: a row for each outcome of each system, and for each rejected candidate.
  const facts = { start: new Uint32Array(documents.length + 1), system: [], kind: [], one: [], other: [] };
  const found = documents.map((doc, d) => {
    const add = (system, kind, one, other) => {
      facts.system.push(system);
      facts.kind.push(kind);
      facts.one.push(one);
      facts.other.push(other);
    };
    const shapes = new Set();
    const flawless = [];
    let failed = 0;
    for (const [, , label] of doc.gold) add(-1, -1, label, label);
    doc.systems.forEach((system, s) => {
      if (!system) return;
      const counted = new Set();
      let wrong = 0;
      for (const [kind, g, e] of system.outcomes) {
        const gold = g === null ? -1 : doc.gold[g][2];
        const label = e === null ? gold : system.ents[e][2];
        add(s, kind, gold === -1 ? label : gold, label);
        if (e !== null) counted.add(e);
        wrong += isMistake(kind);
      }
      system.ents.forEach((x, i) => { if (!counted.has(i)) add(s, NOT_COUNTED, x[2], x[2]); });
      for (const [, , label, kind] of system.rejected) add(s, kind, label, label);
      shapes.add(JSON.stringify(system.ents.map((x) => x.slice(0, 3)).sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])));
      flawless.push(!wrong && !system.failed);
      if (system.failed) failed |= 1 << s;
    });
    facts.start[d + 1] = facts.kind.length;
    return {
      text: `${doc.id}\n${doc.text}`.toLowerCase(),
      differ: shapes.size > 1,
      mixed: flawless.includes(true) && flawless.includes(false),
      failed,
    };
  });
  for (const name of ["system", "kind", "one", "other"]) facts[name] = Int16Array.from(facts[name]);

  // Filters

  const ANY = "", MISTAKE = "mistake";
  const FIELDS = ["q", "system", "kind", "label", "tag", "genre", "differ"];
  const CHECKS = ["failed", "rows"];

  function fill(id, first, options) {
    $(id).append(make("option", { value: ANY }, first));
    for (const [value, text] of options) $(id).append(make("option", { value }, text));
    $(id).closest(".field").hidden = options.length === 0;
  }
  const byName = (names) => names.map((x, i) => [String(i), x]);
  fill("system", "all systems", byName(systems));
  fill("kind", "any", [[MISTAKE, "any mistake"], ...byName(words)]);
  fill("label", "any", byName(labels));
  fill("tag", "any", byName(tags));
  fill("genre", "any", byName(genres));
  fill("differ", "any", systems.length > 1 ? [["differ", "systems differ"], ["mixed", "some are right, some wrong"]] : []);

  const read = () => ({
    ...Object.fromEntries(FIELDS.map((x) => [x, $(x).value])),
    ...Object.fromEntries(CHECKS.map((x) => [x, $(x).checked])),
  });
  const toNumber = (x) => (x === ANY || x === MISTAKE ? -1 : Number(x));

  function matchesFacts(d, wanted) {
    for (let i = facts.start[d]; i < facts.start[d + 1]; i += 1) {
      const kind = facts.kind[i];
      if (wanted.system >= 0 && facts.system[i] !== wanted.system && kind !== -1) continue;
      if (wanted.label >= 0 && facts.one[i] !== wanted.label && facts.other[i] !== wanted.label) continue;
      if (wanted.mistake ? kind >= 0 && isMistake(kind) : wanted.kind < 0 || kind === wanted.kind) return true;
    }
    return false;
  }

  function select(state) {
    const query = state.q.trim().toLowerCase();
    const wanted = { system: toNumber(state.system), label: toNumber(state.label), kind: toNumber(state.kind), mistake: state.kind === MISTAKE };
    const asksFacts = wanted.label >= 0 || state.kind !== ANY;
    const [tag, genre] = [toNumber(state.tag), toNumber(state.genre)];
    const mask = wanted.system >= 0 ? 1 << wanted.system : -1;
    const result = [];
    documents.forEach((doc, d) => {
      const x = found[d];
      if (tag >= 0 && !doc.tags.includes(tag)) return;
      if (genre >= 0 && doc.genre !== genre) return;
      if (state.differ && !x[state.differ]) return;
      if (state.failed && !(x.failed & mask)) return;
      if (query && !x.text.includes(query)) return;
      if (asksFacts && !matchesFacts(d, wanted)) return;
      result.push(d);
    });
    return result;
  }

  function countMistakes(shown, system) {
    let count = 0;
    for (const d of shown) {
      for (let i = facts.start[d]; i < facts.start[d + 1]; i += 1) {
        count += facts.kind[i] >= 0 && isMistake(facts.kind[i]) && (system < 0 || facts.system[i] === system);
      }
    }
    return count;
  }

  // Marks

  function makeMark({ label, kind, gold, score }) {
    const name = kind === null ? "correct" : kinds[kind];
    const mark = make("mark", { className: `ent c${label % data.colors} k-${name}` }, make("span"));
    const points = typeof score === "number" ? ` ${score.toFixed(2)}` : "";
    mark.append(make("small", { className: "label" }, ` ${labels[label]}${points}`));
    if (name !== "correct") {
      const other = gold !== undefined && gold !== label ? `, gold ${labels[gold]}` : "";
      mark.append(make("small", { className: "word" }, `${words[kind]}${other}`));
    }
    return mark;
  }

  // Marks inside of marks; one that crosses the border of another is cut there.
  function fillMarks(parent, text, from, to, spans) {
    let position = from;
    while (spans.length && (spans[0].start < to || spans[0].start === spans[0].end)) {
      const span = spans.shift();
      const start = Math.max(span.start, position);
      const end = Math.max(start, Math.min(span.end, to));
      const inner = [], rest = [];
      for (const x of spans) (x.start < end ? inner : rest).push(x);
      for (const x of inner) {
        if (x.end > end) {
          rest.push({ ...x, start: end });
          x.end = end;
        }
      }
      spans.splice(0, spans.length, ...rest.sort((a, b) => a.start - b.start || b.end - a.end));
      parent.append(text.slice(position, start));
      const mark = makeMark(span);
      fillMarks(mark.firstChild, text, start, end, inner);
      parent.append(mark);
      position = end;
    }
    parent.append(text.slice(position, to));
  }

  function makeText(text, spans) {
    if (!text.length) return make("p", { className: "text none" }, "(empty text)");
    const element = make("p", { className: "text", dir: "auto" });
    spans.sort((a, b) => a.start - b.start || b.end - a.end);
    fillMarks(element, text, 0, text.length, spans);
    return element;
  }

  const goldSpans = (doc) => doc.gold.map(([start, end, label]) => ({ start, end, label, kind: null }));

  function systemSpans(doc, system) {
    const spans = system.ents.map(([start, end, label, score]) => ({ start, end, label, score, kind: NOT_COUNTED }));
    for (const [kind, g, e] of system.outcomes) {
      if (e === null) spans.push({ ...goldSpans(doc)[g], kind: MISSED });
      else Object.assign(spans[e], { kind, gold: g === null ? undefined : doc.gold[g][2] });
    }
    return spans;
  }

  // Documents

  function summarise(system) {
    if (system.failed) return `failed: ${system.failed}`;
    const counts = new Map();
    for (const [kind] of system.outcomes) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const parts = [...counts].sort((a, b) => a[0] - b[0]).map(([kind, n]) => `${n} ${words[kind]}`);
    return parts.join(", ") || "nothing found";
  }

  function describe(doc, [start, end, label, kind]) {
    const parts = [make("strong", {}, words[kind])];
    if (label >= 0) parts.push(" ", make("bdi", {}, labels[label]));
    if (start !== null && end !== null) parts.push(" ", make("q", { dir: "auto" }, doc.text.slice(start, end)));
    return parts;
  }

  function makeRow(className, name, note, text, ...more) {
    const title = make("h4", {}, make("bdi", {}, name), " ", make("small", {}, note));
    return make("div", { className }, title, make("div", {}, text, ...more));
  }

  function makeSystemRow(doc, s) {
    const system = doc.systems[s];
    const rejected = system.rejected.slice(0, 20).map((x) => make("li", {}, ...describe(doc, x)));
    if (system.rejected.length > 20) rejected.push(make("li", {}, `${system.rejected.length - 20} more`));
    const more = rejected.length ? [make("ul", { className: "out", "aria-label": "Rejected" }, ...rejected)] : [];
    return makeRow("row", systems[s], summarise(system), makeText(doc.text, systemSpans(doc, system)), ...more);
  }

  function hasMistake(system) {
    return Boolean(system.failed) || system.outcomes.some(([kind]) => isMistake(kind));
  }

  function makeDocument(d, state) {
    const doc = documents[d];
    const link = make("a", { href: `#doc=${d + 1}` }, `Document ${d + 1}`);
    const head = make("header", {}, make("h3", { id: `doc-${d + 1}` }, link), make("bdi", {}, doc.id));
    for (const t of doc.tags) head.append(make("bdi", { className: "chip" }, tags[t]));
    if (doc.genre >= 0) head.append(make("bdi", { className: "chip" }, genres[doc.genre]));
    const article = make("article", { className: "doc", tabindex: "-1", "aria-labelledby": `doc-${d + 1}`, "data-number": d + 1 }, head);
    article.append(makeRow("row gold", "gold", `${doc.gold.length} ${doc.gold.length === 1 ? "entity" : "entities"}`, makeText(doc.text, goldSpans(doc))));
    const only = toNumber(state.system);
    systems.forEach((_, s) => {
      if (!doc.systems[s] || (only >= 0 && s !== only)) return;
      if (state.rows && !hasMistake(doc.systems[s])) return;
      article.append(makeSystemRow(doc, s));
    });
    return article;
  }

  // The page

  let shown = [], page = 0, state = read();

  function show() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = shown.slice(page * PAGE, (page + 1) * PAGE);
    $("list").replaceChildren(...part.map((d) => makeDocument(d, state)));
    for (const end of ["", "2"]) {
      $(`back${end}`).disabled = page === 0;
      $(`next${end}`).disabled = page === pages - 1;
      $(`page${end}`).textContent = `Page ${number.format(page + 1)} of ${number.format(pages)}`;
    }
    const first = page * PAGE + 1;
    const range = part.length ? ` Here are ${number.format(first)} to ${number.format(first + part.length - 1)}.` : "";
    const mistakes = countMistakes(shown, toNumber(state.system));
    $("count").textContent = `${number.format(shown.length)} of ${number.format(documents.length)} documents, with ${number.format(mistakes)} mistakes.${range}`;
  }

  const NAMES = { system: systems, label: labels, tag: tags, genre: genres };

  function write(doc) {
    const values = new URLSearchParams();
    for (const x of FIELDS) {
      if (state[x] !== ANY) values.set(x, NAMES[x] ? NAMES[x][state[x]] : x === "kind" && state[x] !== MISTAKE ? kinds[state[x]] : state[x]);
    }
    for (const x of CHECKS) if (state[x]) values.set(x, "1");
    if (doc) values.set("doc", doc);
    const hash = values.toString();
    history.replaceState(null, "", hash ? `#${hash}` : "#browser");
  }

  function restore() {
    const values = new URLSearchParams(location.hash.slice(1));
    for (const x of FIELDS) {
      const value = values.get(x) ?? ANY;
      const names = NAMES[x] ?? (x === "kind" ? kinds : null);
      const isName = names && !(x === "kind" && value === MISTAKE);
      const place = isName ? names.indexOf(value) : -1;
      $(x).value = !isName ? value : place < 0 ? ANY : String(place);
      if ($(x).tagName === "SELECT" && $(x).selectedIndex < 0) $(x).value = ANY;
    }
    for (const x of CHECKS) $(x).checked = values.get(x) === "1";
    return Number(values.get("doc") ?? 0);
  }

  function filter() {
    state = read();
    shown = select(state);
    page = 0;
    show();
  }

  function focusDocument(place) {
    if (place < 0 || place >= shown.length) return;
    if (Math.floor(place / PAGE) !== page) {
      page = Math.floor(place / PAGE);
      show();
    }
    const article = $("list").children[place - page * PAGE];
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "start" });
    write(shown[place] + 1);
  }

  function step(by) {
    const article = document.activeElement?.closest?.(".doc");
    const place = article ? shown.indexOf(Number(article.dataset.number) - 1) : -1;
    focusDocument(place < 0 ? page * PAGE : place + by);
  }

  function turn(by, { focus = true } = {}) {
    const before = page;
    page += by;
    show();
    if (page === before) return;
    write();
    if (focus || document.activeElement === document.body) focusDocument(page * PAGE);
  }

  function follow() {
    if (!location.hash.includes("=")) return;
    const doc = restore();
    filter();
    const place = shown.indexOf(doc - 1);
    if (place >= 0) focusDocument(place);
    else $("browser").scrollIntoView();
  }

  function showExamples() {
    const byReason = new Map();
    documents.forEach((doc, d) => doc.systems.forEach((system, s) => {
      for (const row of system?.rejected ?? []) {
        if (!byReason.has(row[3])) byReason.set(row[3], Array.from(systems, () => []));
        const examples = byReason.get(row[3])[s];
        if (examples.length < 3) examples.push([d, row]);
      }
    }));
    for (const kind of [...byReason.keys()].sort((a, b) => a - b)) {
      const list = make("ul", { className: "out" });
      byReason.get(kind).forEach((examples, s) => examples.forEach(([d, row]) => {
        const link = make("a", { href: `#doc=${d + 1}` }, `Document ${d + 1}`);
        list.append(make("li", {}, make("bdi", {}, systems[s]), ": ", ...describe(documents[d], row).slice(1), " ", link));
      }));
      $("examples").append(make("h3", {}, `Examples: ${words[kind]}`), list);
    }
    $("examples").hidden = byReason.size === 0;
  }

  function showLegend() {
    if (!labels.length) return;
    kinds.slice(0, NOT_COUNTED + 1).forEach((_, kind) => {
      const mark = makeMark({ label: 0, kind });
      mark.firstChild.textContent = "text";
      mark.children[1].textContent = " LABEL";
      $("legend").append(mark, " ");
    });
  }

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    n: () => turn(1),
    p: () => turn(-1),
    "/": () => $("q").focus(),
    "?": () => $("help").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === $("q")) $("q").blur();
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || !$("keys").checked) return;
    if (event.target.closest?.("input, select, textarea") || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  for (const x of [...FIELDS, ...CHECKS]) {
    $(x).addEventListener($(x).tagName === "SELECT" || CHECKS.includes(x) ? "change" : "input", () => {
      filter();
      write();
    });
  }
  $("clear").addEventListener("click", () => {
    for (const x of FIELDS) $(x).value = ANY;
    for (const x of CHECKS) $(x).checked = false;
    filter();
    write();
  });
  // The buttons above keep the focus, those below lead to the top of the new page.
  for (const [id, by] of [["back", -1], ["next", 1]]) {
    $(id).addEventListener("click", () => turn(by, { focus: false }));
    $(`${id}2`).addEventListener("click", () => turn(by));
  }
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
  window.addEventListener("hashchange", follow);

  showExamples();
  showLegend();
  $("app").hidden = false;
  restore();
  filter();
  follow();
})();
