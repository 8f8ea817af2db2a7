// One message as a card: what was said, its images, its tokens, its descriptors, its violations.

const LONG = 1_400; // characters of a text that is folded

/** What the reader opened, by place, so that a row that leaves the window keeps it. */
const opened = new Set();

function folded(text, cls, key, query) {
  const box = el("div", "text");
  const pre = el("pre", cls);
  pre.dir = "auto";
  pre.append(pieces(text.text, query));
  box.append(pre);
  if (text.text.length > LONG || text.text.split("\n", 26).length > 25) {
    const more = button("more", "", () => { if (opened.has(key)) opened.delete(key); else opened.add(key); set(); });
    const set = () => { const all = opened.has(key); pre.classList.toggle("folded", !all); more.textContent = all ? "Show less" : `Show all ${number(text.of ?? text.text.length)} characters`; };
    set();
    box.append(more);
  }
  if (text.of) box.append(el("div", "mut small", `The page has the first ${number(text.text.length)} of ${number(text.of)} characters.`));
  return box;
}
function section(title, key, open, fill) {
  const box = el("details", "section", el("summary", "", title));
  box.open = opened.has(key) || (open && !opened.has(`-${key}`));
  const once = () => { if (box.open && box.childElementCount === 1) box.append(fill()); };
  box.addEventListener("toggle", () => {
    opened.delete(key); opened.delete(`-${key}`); opened.add(box.open ? key : `-${key}`);
    once();
  });
  once();
  return box;
}
function violation(error, withPath) {
  const box = el("div", "violation");
  const path = el("div", "path");
  if (withPath) path.append(mono("", error.path), " ");
  path.append(el("code", "code", error.code));
  const say = el("div");
  say.append("expected ", pieces(error.expected), ", got ", pieces(error.got));
  box.append(path, say);
  if (error.hint) { const hint = el("div", "hint"); hint.append("→ ", pieces(error.hint)); box.append(hint); }
  return box;
}
function tick(good, text) { return el("span", good ? "good" : "bad-text", `${good ? "✓" : "✗"} ${text}`); }

/** One image of a sidecar or a run of tokens: descriptor, range and the layout's account. */
function item(one) {
  const box = el("div", "item");
  const facts = (title, rows) => {
    const list = el("dl");
    for (const [name, value] of rows) {
      if (value === null || value === undefined || value === "") continue;
      const d = el("dd", "mono");
      d.append(value instanceof Node ? value : pieces(String(value)));
      list.append(el("dt", "", name), d);
    }
    return el("div", "facts", el("h4", "", title), list);
  };
  const source = one.image === null || one.image === undefined ? null : smallOf(one.image);
  if (source) { const picture = el("img", "tiny"); picture.src = source; picture.alt = ""; box.append(picture); }
  if (one.derived) box.append(facts("image", [["sha256", one.hash && `${one.hash.slice(0, 16)}…`], ["descriptor", "none in the record"]]));
  else box.append(facts("descriptor", [["family", one.family], ["fingerprint", one.fingerprint], ["payload", one.payload], ["hash", one.hash], ["locator", one.locator ?? (one.isItem ? "none: the engine has the image" : null)], ["ambiguous", one.ambiguous], ["item", one.isItem ? null : "missing"]]));
  const range = one.length === null ? "none" : `${number(one.offset)} to ${number(one.offset + one.length - 1)}`;
  box.append(facts("placeholder", [["tokens", range], ["length", one.length === null ? null : number(one.length)], ["found by", one.derived ? "its run of image tokens" : null], ["modality", one.modality]]));
  const account = one.account;
  if (!account) box.append(facts("layout", [["account", one.image === null ? "the image was not read" : "no layout is known; give --layout"]]));
  else if (account.refused) box.append(facts(`layout ${account.family}`, [["refuses", account.refused], ["by", account.source]]));
  else {
    const fits = account.fits === null ? null : tick(account.fits, account.fits ? "the placeholder has this length" : `the placeholder has ${number(account.length)}`);
    box.append(facts(`layout ${account.family}`, [
      ["grid", account.grid.join(" × ")], ["tokens", number(account.tokens)], ["", fits && ""], ["length", fits],
      ["payload", account.payload === null ? null : tick(account.payload, account.payload ? "equal to the descriptor's" : "differs from the descriptor's")],
      ["decoding", account.decoding], ["by", account.source], ["but", account.doubt]]));
  }
  return box;
}

function card(side, i, query, where) {
  const node = side.nodes[i], key = `${where}/${node.path}`, errors = side.errorsOf(i);
  const box = el("article", `card role-${/^[a-z]+$/.test(node.role) ? node.role : "other"}${errors.length ? " broken" : ""}`);
  box.tabIndex = -1;
  box.setAttribute("aria-label", plainText(`${node.path}, ${node.role}`));
  box.setAttribute("aria-posinset", String(i + 1));
  box.setAttribute("aria-setsize", String(side.nodes.length));
  const top = el("div", "top", el("span", "role", pieces(node.role)), mono("mut", node.path));
  if (node.sampled) top.append(el("span", "chip sampled-chip", "sampled"));
  if (node.tokens) top.append(el("span", "mut", plural(node.tokens, "token") + (node.sampledTokens ? `, ${number(node.sampledTokens)} sampled` : "")));
  if (node.finish) { const f = el("span", "mut"); f.append("finish: ", pieces(node.finish)); top.append(f); }
  if (node.parent !== null && node.parent !== i - 1) top.append(jump(`child of ${node.parent}`, node.parent));
  const below = side.graph.children[i];
  if (below.length > 1) {
    const fork = el("span", "chip fork-chip", `fork: ${below.length} branches`);
    top.append(fork, ...below.slice(1, 9).map((child) => jump(`→ ${child}`, child)));
  }
  for (const [type, target] of node.links) {
    const compaction = type.startsWith("compaction");
    const link = target === null || target >= side.nodes.length ? el("span", "chip") : jump("", target, `chip${compaction ? " compaction-chip" : ""}`);
    link.append(pieces(type), ` of ${target}`);
    top.append(link);
  }
  if (!below.length && side.leaves.length > 1) top.append(el("span", "chip", `end of branch ${side.leaves.indexOf(i) + 1}`));
  box.append(top);
  for (const error of errors) box.append(violation(error, true));
  if (node.reasoning) box.append(section("reasoning", `${key}#reasoning`, node.reasoning.text.length < 600, () => folded(node.reasoning, "reasoning", `${key}#r`, query)));
  let pictures = null;
  node.content.forEach((part, at) => {
    if (!("image" in part)) { pictures = null; if (part.text) box.append(folded(part, part.isJson ? "json" : "", `${key}#${at}`, query)); return; }
    if (!pictures) { pictures = el("div", "pictures"); box.append(pictures); }
    pictures.append(figure(part, () => openImage(side, i, at)));
  });
  node.calls.forEach(([name, args], at) => {
    const call = el("div", "call");
    const title = el("b", "mono"); title.append(pieces(name || "?", query));
    call.append(el("span", "mut", "calls "), title);
    if (args) call.append(folded(args, "json", `${key}#call${at}`, query));
    box.append(call);
  });
  if (node.odd) box.append(el("div", "bad-text", "This is no message:"), folded(node.odd, "json", `${key}#odd`, query));
  if (node.tokens) box.append(strip(node, 600));
  if (node.items.length) {
    const wrong = node.items.filter((one) => one.account && (one.account.fits === false || one.account.payload === false)).length;
    const title = el("span", "", `${plural(node.items.length, "image")} in tokens: descriptor, placeholder and layout `);
    const known = node.items.filter((one) => one.account && one.account.fits !== null && !one.account.refused).length;
    if (wrong) title.append(tick(false, `${wrong} differ${wrong === 1 ? "s" : ""}`)); else if (known) title.append(tick(true, "agree"));
    box.append(section(title, `${key}#items`, wrong > 0 || node.items.length <= 2, () => el("div", "items", node.items.map(item))));
  }
  if (node.other.length) box.append(section(plural(node.other.length, "other field"), `${key}#other`, false, () => {
    const list = el("dl", "other");
    for (const [name, value] of node.other) { const d = el("dd", "mono"), t = el("dt"); t.append(pieces(name)); d.append(pieces(value)); list.append(t, d); }
    return list;
  }));
  return box;
}
function jump(label, target, cls = "chip link") { return button(cls, `Go to message ${target}`, () => goTo(target), label); }
