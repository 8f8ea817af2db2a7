// The page: the list of records, the record that is shown, search, filters and keys.

const index = parsed("index");
const records = index.records;
const LIMIT_ROWS = 34; // pixels of a row of the list of records

class Side {
  constructor(data, where) {
    Object.assign(this, data);
    this.where = where;
    this.pinned = new Map();
    for (const error of this.errors) if (error.node !== null) { if (!this.pinned.has(error.node)) this.pinned.set(error.node, []); this.pinned.get(error.node).push(error); }
    this.bad = new Set(this.pinned.keys());
    this.graph = new Graph(this);
  }
  errorsOf(i) { return this.pinned.get(i) ?? []; }
  text(i) {
    const node = this.nodes[i];
    node.low ??= [node.role, node.path, node.reasoning?.text, ...node.content.map((part) => part.text ?? part.where), ...node.calls.flatMap(([name, args]) => [name, args?.text]),
      ...node.items.map((one) => one.hash), ...this.errorsOf(i).map((error) => error.code)].join("\n").toLowerCase();
    return node.low;
  }
  branch(leaf) { const path = []; for (let i = leaf; i !== null; i = this.nodes[i].parent) path.push(i); return path.reverse(); }
}

const state = { record: -1, sides: [], differences: null, query: "", filter: "all", branch: null, current: -1, hits: [], hit: -1, records: [], recordFilter: "all", recordQuery: "" };

// ---- the frame
const search = el("input"); search.type = "search"; search.placeholder = "Search messages  /"; search.setAttribute("aria-label", "Search messages"); search.id = "search";
const hits = el("span", "mut small"); hits.setAttribute("aria-live", "polite");
const title = el("h1");
const theme = button("icon", "Dark or light (t)", () => turn(), "◐");
const help = button("icon", "Keys (?)", () => keysDialog.showModal(), "?");
const drawer = button("icon drawer-button", "Records", () => document.body.classList.toggle("drawer"), "☰");
const header = el("header", "", drawer, el("span", "brand", "rawmm"), title, el("span", "grow"), el("div", "search", search, hits), theme, help);
const recordList = el("div", "record-rows"); recordList.setAttribute("role", "listbox"); recordList.setAttribute("aria-label", "Records");
const recordSearch = el("input"); recordSearch.type = "search"; recordSearch.placeholder = "Search records"; recordSearch.setAttribute("aria-label", "Search records");
const recordCount = el("div", "mut small");
const recordFilters = el("div", "chips");
const recordScroller = el("div", "record-scroller", recordList);
const aside = el("aside", "", el("div", "aside-top", recordSearch, recordFilters, recordCount), recordScroller);
const summary = el("div", "summary");
const list = el("div", "messages"); list.setAttribute("role", "feed");
const main = el("main", "", summary, list);
main.tabIndex = -1;
document.body.append(header, el("div", "frame", aside, main), tip.node);
tip.node.hidden = true;
document.body.classList.toggle("one", records.length < 2);
document.body.classList.toggle("comparing", index.compare);
title.append(pieces(index.title));
lightbox.make();

const KEYS = [["j  k", "next, previous message"], ["n  p", "next, previous violation"], ["d", "first difference"], ["/", "search; Enter goes to the next match"], ["[  ]", "previous, next record"],
  ["Enter", "open the first image of the message"], ["← →", "in the tokens: from token to token; in an image: from image to image"], ["z", "image in actual size"], ["t", "dark or light"], ["Esc", "close, or end the search"]];
const keysDialog = el("dialog", "keys", el("h2", "", "Keys"), el("dl", "", KEYS.flatMap(([key, what]) => [el("dt", "mono", key), el("dd", "", what)])),
  el("p", "mut small", `Made by rawmm ${index.version}. The page loads nothing and sends nothing.`), button("plain", "", () => keysDialog.close(), "Close"));
document.body.append(keysDialog);

// ---- the list of records: rows of one height, of which those in the window exist
function recordRow(at) {
  const record = records[at];
  const name = record.name || (record.path === "$" ? "" : record.path) || record.file.split("/").pop();
  const row = button("record" + (at === state.record ? " chosen" : ""), "", () => { showRecord(at); document.body.classList.remove("drawer"); });
  row.setAttribute("role", "option"); row.setAttribute("aria-selected", String(at === state.record));
  const label = el("span", "record-name"); label.append(pieces(plainText(name).slice(0, 80)));
  const place = record.line === null ? record.file : `${record.file}:${record.line}`;
  row.title = plainText(`${place} ${record.name}`).slice(0, 400);
  row.append(el("span", "mut mono", record.line === null ? `${at + 1}` : `${record.line}`), label, el("span", "grow"));
  if (record.forks) row.append(el("span", "mini fork-chip", `⑂${record.forks}`));
  if (record.images) row.append(el("span", "mini image-chip", `▣ ${record.images}`));
  row.append(el("span", "mini mut", `${record.nodes}`));
  if (record.differs) row.append(el("span", "mini diff-chip", "≠"));
  if (record.errors) row.append(el("span", "mini bad-chip", `${record.errors}`));
  return row;
}
function drawRecords() {
  const first = Math.max(0, Math.floor(recordScroller.scrollTop / LIMIT_ROWS) - 8);
  const last = Math.min(state.records.length, first + Math.ceil(recordScroller.clientHeight / LIMIT_ROWS) + 16);
  recordList.style.height = `${state.records.length * LIMIT_ROWS}px`;
  recordList.replaceChildren(...state.records.slice(first, last).map((at, k) => { const row = recordRow(at); row.style.top = `${(first + k) * LIMIT_ROWS}px`; return row; }));
}
const RECORD_FILTERS = { all: () => true, violations: (r) => r.errors > 0, images: (r) => r.images > 0, forks: (r) => r.forks > 0, ...(index.compare ? { different: (r) => r.differs } : {}) };
const codes = [...new Set(records.flatMap((record) => record.codes))].sort();
function filterRecords() {
  const wanted = JSON.stringify(state.recordQuery.toLowerCase()).slice(1, -1).replaceAll("<", "\\u003c");
  const fits = RECORD_FILTERS[state.recordFilter] ?? ((record) => record.codes.includes(state.recordFilter));
  state.records = records.map((_, at) => at).filter((at) => fits(records[at])
    && (!wanted || `${records[at].file} ${records[at].name}`.toLowerCase().includes(state.recordQuery.toLowerCase()) || document.getElementById(`r${at}`).textContent.toLowerCase().includes(wanted)));
  recordCount.textContent = `${state.records.length === records.length ? plural(records.length, "record") : `${number(state.records.length)} of ${plural(records.length, "record")}`}${index.leftOut ? `; ${number(index.leftOut)} more in the file` : ""}`;
  for (const chip of recordFilters.children) chip.setAttribute("aria-pressed", String(chip.dataset.name === state.recordFilter));
  recordScroller.scrollTop = 0;
  drawRecords();
}
for (const name of [...Object.keys(RECORD_FILTERS), ...codes]) {
  const chip = button("filter", "", () => { state.recordFilter = state.recordFilter === name ? "all" : name; filterRecords(); }, name);
  chip.dataset.name = name;
  if (codes.includes(name)) chip.classList.add("bad-filter");
  recordFilters.append(chip);
}
let typing = 0;
recordSearch.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { state.recordQuery = recordSearch.value.trim(); filterRecords(); }, 120); });
recordScroller.addEventListener("scroll", drawRecords, { passive: true });
new ResizeObserver(drawRecords).observe(recordScroller);

// ---- one record
const rows = new VirtualList(main, list, renderRow, 170);
function renderRow(i) {
  const [one, other] = state.sides;
  const row = el("div", "");
  if (!index.compare) {
    row.append(one.graph.row(i), card(one, i, state.query, state.record));
  } else {
    const marks = state.differences.byNode.get(i) ?? [];
    row.append(one.nodes[i] ? one.graph.row(i) : svg("svg", { width: one.graph.width, class: "lanes" }));
    const pair = el("div", `pair${marks.length ? "" : " same"}`, one.nodes[i] ? card(one, i, state.query, "a") : el("div", "card nothing", "no message here"),
      other.nodes[i] ? card(other, i, state.query, "b") : el("div", "card nothing", "no message here"));
    if (marks.length) pair.prepend(differenceBox(marks));
    row.append(pair);
  }
  if (i === state.current) row.classList.add("current");
  return row;
}
function differenceBox(marks) {
  const box = el("div", "differences");
  for (const mark of marks.slice(0, 12)) {
    const isFirst = mark === state.differences.firstOne || mark === state.differences.firstSeen;
    const line = el("div", `difference${mark.moved ? " moved" : ""}${isFirst ? " first" : ""}`);
    if (isFirst) line.append(el("span", "chip diff-chip", mark === state.differences.firstOne ? "first difference" : "first in a message"));
    line.append(mono("", mark.path));
    if (mark.moved) line.append(el("span", "mut small", "the same image, stored elsewhere"));
    else { const was = el("del", "mono"), is = el("ins", "mono"); was.append(pieces(mark.old)); is.append(pieces(mark.new)); line.append(was, is); }
    box.append(line);
  }
  if (marks.length > 12) box.append(el("div", "mut small", `and ${number(marks.length - 12)} more in this message`));
  return box;
}
function showRecord(at) {
  const data = parsed(`r${at}`);
  Object.assign(state, { record: at, sides: data.sides.map((side, k) => new Side(side, k)), branch: null, filter: "all", current: -1 });
  const found = data.differences;
  if (found) {
    found.byNode = Map.groupBy ? Map.groupBy(found.list, (one) => one.node) : found.list.reduce((map, one) => map.set(one.node, [...(map.get(one.node) ?? []), one]), new Map());
    found.firstOne = found.first === null ? null : found.list[found.first];
    found.firstSeen = found.list.find((one) => !one.moved && one.node !== null) ?? null;
  }
  state.differences = found;
  main.scrollTop = 0;
  describe();
  filterMessages();
  drawRecords();
}
function tile(value, name, cls = "") { return el("div", `tile ${cls}`, el("b", "", value), el("span", "", name)); }
function describe() {
  const record = records[state.record], [one, other] = state.sides;
  const place = el("span", "mono mut"); place.append(pieces(record.line === null ? record.file : `${record.file}:${record.line}`));
  if (record.path !== "$") place.append(" ", pieces(record.path));
  const head = el("div", "record-head", place);
  if (record.other) { const to = el("span", "mono mut"); to.append("↔ ", pieces(record.other)); head.append(to); }
  if (one.name) head.append(mono("", one.name));
  if (one.model) { const model = el("span", "chip"); model.append(pieces(one.model)); head.append(model); }
  const tokens = one.nodes.reduce((sum, node) => sum + node.tokens, 0), sampled = one.nodes.reduce((sum, node) => sum + node.sampledTokens, 0);
  const shown = one.nodes.flatMap((node) => node.content.filter((part) => "image" in part));
  const different = new Set(shown.map((part) => part.image).filter((n) => n !== null)).size;
  const errors = one.errors.length + one.moreErrors;
  const tiles = el("div", "tiles", tile(number(one.nodes.length), one.nodes.length === 1 ? "message" : "messages"), tile(number(one.leaves.length), one.leaves.length === 1 ? "branch" : "branches"), tile(number(tokens), "tokens"),
    tile(number(sampled), "sampled"), tile(number(shown.length), different === shown.length ? (different === 1 ? "image" : "images") : `images, ${shown.some((part) => part.image === null) ? `${number(shown.filter((part) => part.image !== null).length)} read` : `${number(different)} different`}`), tile(number(errors), errors === 1 ? "violation" : "violations", errors ? "bad-tile" : "good-tile"));
  summary.replaceChildren(head, tiles);
  if (one.facts.length) {
    const facts = el("details", "section", el("summary", "", "record"));
    const dl = el("dl", "other");
    for (const [name, value] of one.facts) { const t = el("dt"), d = el("dd", "mono"); t.append(pieces(name)); d.append(pieces(value)); dl.append(t, d); }
    facts.append(dl); summary.append(facts);
  }
  if (state.differences) summary.append(compared());
  for (const [k, side] of state.sides.entries()) {
    if (!side.errors.length) continue;
    const box = el("details", "violations", el("summary", "", `${plural(side.errors.length + side.moreErrors, "violation")} of the contract${state.sides.length > 1 ? `, ${k ? "right" : "left"}` : ""}`));
    box.open = side.errors.length <= 8;
    side.errors.slice(0, 100).forEach((error) => {
      const line = violation(error, true);
      if (error.node !== null) { line.classList.add("link"); line.tabIndex = 0; line.setAttribute("role", "link"); line.addEventListener("click", () => goTo(error.node)); line.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.stopPropagation(); goTo(error.node); } }); }
      box.append(line);
    });
    if (side.errors.length + side.moreErrors > 100) box.append(el("div", "mut small", `and ${number(side.errors.length + side.moreErrors - 100)} more`));
    summary.append(box);
  }
  if (one.plain) summary.append(el("p", "mut", "This record has no messages. It is shown as it is."), folded(one.plain, "json", `${state.record}#plain`, ""));
  if (one.nodes.length > 1) summary.append(overview(one, goTo));
  const chips = el("div", "chips");
  const choose = (label, name, test) => { const chip = button("filter", "", () => { state.filter = state.filter === name ? "all" : name; filterMessages(); }, label); chip.dataset.filter = name; if (test) chips.append(chip); };
  choose("all messages", "all", true);
  choose("images", "images", shown.length);
  choose("sampled", "sampled", sampled);
  choose("violations", "violations", one.bad.size);
  choose("forks", "forks", one.forks);
  choose("differences", "differences", state.differences && state.differences.list.length);
  if (one.leaves.length > 1) chips.append(...branches(one));
  summary.append(chips);
  const key = el("div", "key");
  const used = new Set(one.nodes.flatMap((node) => node.runs.filter((_, k) => k % 2 === 0)));
  for (const kind of [...used].sort()) { const swatch = el("i", `swatch kind${kind}`); key.append(el("span", "", swatch, KINDS[kind])); }
  if (one.nodes.some((node) => node.logprobs)) key.append(el("span", "", el("i", "swatch surprise"), "surprise (−log p)"));
  if (used.size) summary.append(key);
}
/** Chips that show one branch each, or a list to choose from if there are many. */
function branches(side) {
  const size = (leaf) => { const path = side.branch(leaf); return `${plural(path.length, "message")}, ${plural(path.reduce((sum, i) => sum + side.nodes[i].tokens, 0), "token")}`; };
  const choose = (leaf) => { state.branch = state.branch === leaf ? null : leaf; filterMessages(); };
  if (side.leaves.length <= 8) {
    return side.leaves.map((leaf, k) => { const chip = button("filter branch", "", () => choose(leaf), `branch ${k + 1}`, el("small", "", ` ${size(leaf)}`)); chip.dataset.branch = leaf; return chip; });
  }
  const all = el("select", "filter"); all.setAttribute("aria-label", "Branch");
  all.append(new Option(`all ${number(side.leaves.length)} branches`, ""), ...side.leaves.slice(0, 2000).map((leaf, k) => new Option(`branch ${k + 1}: ${side.leaves.length <= 200 ? size(leaf) : `ends at ${leaf}`}`, leaf)));
  all.addEventListener("change", () => { state.branch = all.value === "" ? null : +all.value; filterMessages(); });
  return [all];
}
function compared() {
  const { list: all, more, firstOne, firstSeen } = state.differences, real = all.filter((one) => !one.moved).length, moved = all.length - real;
  const box = el("div", `comparison${firstOne ? "" : " equal"}`);
  if (!firstOne) box.append(el("b", "", "No difference. "), moved ? `${plural(moved, "image")} stored elsewhere.` : "Both records are the same.");
  else {
    box.append(el("b", "", `${more ? "more than " : ""}${plural(real, "difference")}`), moved ? `, and ${plural(moved, "image")} stored elsewhere` : "", ". The first: ", mono("", firstOne.path), " ");
    const was = el("del", "mono"), is = el("ins", "mono"); was.append(pieces(firstOne.old)); is.append(pieces(firstOne.new));
    box.append(was, " ", is, " ");
    if (firstSeen) box.append(button("plain", "Go to the first difference in a message (d)", () => goTo(firstSeen.node), "Show"));
    const around = state.differences.byNode.get(null);
    if (around) box.append(section(`${plural(around.length, "difference")} outside of messages`, `${state.record}#around`, false, () => differenceBox(around)));
  }
  return box;
}
function filterMessages() {
  const [one, other] = state.sides, count = Math.max(one.nodes.length, other?.nodes.length ?? 0);
  const path = state.branch === null ? null : new Set(one.branch(state.branch));
  const tests = { all: () => true, images: (i) => one.nodes[i]?.content.some((part) => "image" in part), sampled: (i) => one.nodes[i]?.sampledTokens, violations: (i) => one.bad.has(i) || other?.bad.has(i), forks: (i) => one.graph.children[i]?.length > 1, differences: (i) => state.differences?.byNode.has(i) };
  const items = [];
  for (let i = 0; i < count; i++) if ((!path || path.has(i)) && tests[state.filter](i)) items.push(i);
  for (const chip of summary.querySelectorAll("button.filter")) chip.setAttribute("aria-pressed", String(chip.dataset.branch !== undefined ? +chip.dataset.branch === state.branch : chip.dataset.filter === state.filter));
  document.documentElement.style.setProperty("--lanes", `${one.graph.width}px`);
  rows.show(items);
  find(false);
}
function find(go) {
  state.hits = state.query ? rows.items.filter((i) => state.sides.some((side) => side.nodes[i] && side.text(i).includes(state.query))) : [];
  state.hit = -1;
  hits.textContent = state.query ? plural(state.hits.length, "message") : "";
  rows.refresh();
  if (go && state.hits.length) nextHit(1);
}
function nextHit(by) {
  if (!state.hits.length) return;
  state.hit = (state.hit + by + state.hits.length) % state.hits.length;
  hits.textContent = `${state.hit + 1} of ${plural(state.hits.length, "message")}`;
  goTo(state.hits[state.hit], false);
}
/** Go to a message, and give it the focus. */
function goTo(i, focus = true) {
  if (!rows.items.includes(i)) { Object.assign(state, { filter: "all", branch: null }); filterMessages(); }
  rows.row(state.current)?.classList.remove("current");
  state.current = i;
  rows.reveal(i);
  const row = rows.row(i);
  row?.classList.add("current");
  if (focus) row?.querySelector(".card")?.focus({ preventScroll: true });
}
function openImage(side, i, at) {
  const all = side.nodes.flatMap((node, k) => node.content.map((part, p) => ({ part, k, p })).filter(({ part }) => "image" in part && part.image !== null));
  const chosen = all.findIndex(({ k, p }) => k === i && p === at);
  if (chosen >= 0) lightbox.open(all.map(({ part, k }) => ({ number: part.image, path: side.nodes[k].path, where: part.where })), chosen);
}
function step(by, test = () => true) {
  const items = rows.items.filter(test);
  if (!items.length) return;
  const at = items.findIndex((i) => i >= state.current), here = items[at] === state.current;
  let next;
  if (state.current < 0) next = by > 0 ? 0 : items.length - 1;
  else if (at < 0) next = by > 0 ? 0 : items.length - 1;
  else next = by > 0 ? (here ? at + 1 : at) : at - 1;
  goTo(items[Math.max(0, Math.min(items.length - 1, next))]);
}
function turn() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  redraw();
}
function redraw() { for (const canvas of document.querySelectorAll("canvas")) canvas.redraw?.(); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { state.query = search.value.trim().toLowerCase(); find(true); }, 120); });
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); nextHit(event.shiftKey ? -1 : 1); }
  if (event.key === "Escape") { search.value = ""; state.query = ""; find(false); main.focus(); }
  event.stopPropagation();
});
recordSearch.addEventListener("keydown", (event) => event.stopPropagation());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const near = (by) => { const at = state.records.indexOf(state.record) + by; if (state.records[at] !== undefined) showRecord(state.records[at]); };
  const bad = (i) => state.sides.some((side) => side.bad.has(i));
  const action = {
    j: () => step(1), k: () => step(-1), n: () => step(1, bad), p: () => step(-1, bad), "]": () => near(1), "[": () => near(-1), t: turn, "?": () => keysDialog.showModal(),
    d: () => { const first = state.differences?.firstSeen; if (first) goTo(first.node); },
    "/": () => { search.focus(); search.select(); },
    Enter: event.target.classList?.contains("card") ? () => { const node = state.sides[0].nodes[state.current], at = node?.content.findIndex((part) => "image" in part) ?? -1; if (at >= 0) openImage(state.sides[0], state.current, at); } : null,
    Escape: () => document.body.classList.remove("drawer"),
  }[event.key];
  if (action) { event.preventDefault(); action(); }
});

filterRecords();
if (records.length) showRecord(0); else summary.append(el("p", "mut", "The file has no records."));
document.body.dataset.ready = "1";
