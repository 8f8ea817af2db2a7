// Elements, and text that people can trust. Everything from a record becomes a text node.

const el = (tag, cls, ...children) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
};
const button = (cls, label, action, ...children) => {
  const node = el("button", cls, ...children);
  node.type = "button";
  if (label) { node.title = label; node.setAttribute("aria-label", label); }
  node.addEventListener("click", action);
  return node;
};
const svg = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  return node;
};
const number = (value) => value.toLocaleString("en");
const bytes = (count) => {
  let value = count, unit = 0;
  while (value >= 1024 && unit < 3) { value /= 1024; unit++; }
  return `${unit ? value.toFixed(1) : value} ${["B", "KiB", "MiB", "GiB"][unit]}`;
};
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

// Characters that are not visible or change the direction of text: shown by their number. Unicode's
// Default_Ignorable_Code_Point (DI) has the direction controls and the invisible copies of ASCII at
// U+E0000. Joiners and variation selectors 15 and 16 are left out, as scripts and emoji need them.
const HIDDEN = /(?![\t\n\r\u200c\u200d\ufe0e\ufe0f])[\p{Cc}\p{DI}\p{Zl}\p{Zp}\ufff9-\ufffb]/u;
const MARKS = new RegExp(HIDDEN.source, "gu");
const codePoint = (char) => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
const plainText = (text) => text.replace(MARKS, codePoint);

/** Text nodes and marks: `text` with matches of `query` and hidden characters marked. */
function pieces(text, query) {
  const out = document.createDocumentFragment();
  const add = (piece) => {
    if (!HIDDEN.test(piece)) { out.append(piece); return; }
    let from = 0;
    for (const match of piece.matchAll(MARKS)) {
      out.append(piece.slice(from, match.index), el("span", "hidden-char", codePoint(match[0])));
      from = match.index + match[0].length;
    }
    out.append(piece.slice(from));
  };
  if (!query) { add(text); return out; }
  const low = text.toLowerCase();
  // Lower case may have another length; then nothing is marked.
  let at = low.length === text.length ? low.indexOf(query) : -1, from = 0;
  for (let count = 0; at >= 0 && count < 500; count++) {
    add(text.slice(from, at));
    const mark = el("mark"); mark.append(pieces(text.slice(at, at + query.length)));
    out.append(mark);
    from = at + query.length;
    at = low.indexOf(query, from);
  }
  add(text.slice(from));
  return out;
}
const mono = (cls, text) => { const node = el("span", `mono ${cls}`); node.append(pieces(text)); return node; };
const parsed = (id) => JSON.parse(document.getElementById(id).textContent);
const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
