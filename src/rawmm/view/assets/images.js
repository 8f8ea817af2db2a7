// Images: a Blob of a checked type for each, made when it is looked at; and the full-size view.

const blobs = new Map();
function blobOf(id, type) {
  if (!blobs.has(id)) blobs.set(id, URL.createObjectURL(new Blob([fromBase64(document.getElementById(id).textContent)], { type })));
  return blobs.get(id);
}
const smallOf = (n) => (index.images[n].small ? blobOf(`s${n}`, index.images[n].smallType) : null);
function wholeOf(n) {
  const image = index.images[n];
  if (!image.whole) return null;
  return document.getElementById(`w${n}`) ? blobOf(`w${n}`, image.type) : smallOf(n);
}
const ORIENTATIONS = { 2: "mirrored", 3: "turned by 180°", 4: "mirrored upside down", 5: "transposed", 6: "to be turned by 90°", 7: "transversed", 8: "to be turned by 270°" };
function flags(image) {
  const out = [];
  if (image.orientation !== 1) out.push([`EXIF ${image.orientation}`, `EXIF orientation ${image.orientation}: ${ORIENTATIONS[image.orientation] ?? "unknown"}. Programs that ignore it see other pixels.`]);
  if (image.transparent) out.push(["transparent", "The file has transparency. Programs put other colours behind it."]);
  return out.map(([label, title]) => { const flag = el("span", "flag", label); flag.title = title; return flag; });
}
function figure(part, open) {
  const image = part.image === null ? null : index.images[part.image];
  const caption = el("figcaption");
  const box = el("figure", image ? "" : "lost");
  if (image) {
    const source = smallOf(part.image), [w, h] = image.shown;
    const scale = Math.min(1, 220 / w, 150 / h);
    const name = `Open image ${image.sha256.slice(0, 8)} in full size`;
    const view = button("thumb", name, open);
    if (source) {
      const picture = el("img");
      picture.src = source; picture.alt = ""; picture.decoding = "async";
      picture.width = Math.max(1, Math.round(w * scale)); picture.height = Math.max(1, Math.round(h * scale));
      view.append(picture);
    } else view.append(el("span", "no-thumb", "not in the page"));
    box.append(view);
    caption.append(
      el("b", "", `${image.size[0]} × ${image.size[1]}`), " ",
      `${image.type.slice(6)}, ${bytes(image.bytes)} `, ...flags(image),
      el("br"), mono("mut", `sha256 ${image.sha256.slice(0, 16)}…`), el("br"),
    );
  } else box.append(el("div", "thumb no-thumb", "no image"));
  const where = el("span", "mut where"); where.append("stored: ", pieces(part.where));
  where.title = plainText(part.where);
  caption.append(where);
  if (part.note) { const note = el("div", image ? "warn-text" : "bad-text"); note.append(pieces(part.note)); caption.append(note); }
  box.append(caption);
  return box;
}

const lightbox = {
  dialog: null,
  make() {
    this.stage = el("div", "stage"); this.about = el("dl", "about");
    this.dialog = el("dialog", "lightbox",
      el("div", "lightbox-bar",
        button("icon", "Previous image (←)", () => this.step(-1), "‹"), button("icon", "Next image (→)", () => this.step(1), "›"),
        this.title = el("span", "grow"),
        button("icon", "Actual size (z)", () => this.stage.classList.toggle("actual"), "1:1"),
        button("icon", "Close (Esc)", () => this.dialog.close(), "✕")),
      this.stage, this.about);
    this.dialog.addEventListener("keydown", (event) => {
      const action = { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), z: () => this.stage.classList.toggle("actual") }[event.key];
      if (action) { event.preventDefault(); action(); }
      if (event.key !== "Escape") event.stopPropagation();
    });
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    document.body.append(this.dialog);
  },
  open(all, at) { this.all = all; this.at = at; this.render(); this.dialog.showModal(); },
  step(by) { this.at = (this.at + by + this.all.length) % this.all.length; this.render(); },
  render() {
    const { number: n, path, where } = this.all[this.at], image = index.images[n];
    this.title.replaceChildren(`${this.at + 1} of ${this.all.length} · `, mono("", path));
    this.stage.classList.remove("actual");
    const source = wholeOf(n) ?? smallOf(n);
    const picture = el("img"); picture.alt = `image ${image.sha256.slice(0, 16)}`;
    if (source) picture.src = source;
    this.stage.replaceChildren(source ? picture : el("p", "mut", "The page has no room for this image."));
    if (!image.whole) this.stage.append(el("p", "mut", "This is a thumbnail. The whole file is not in the page; raise --image-megabytes."));
    const facts = [["size", `${image.size[0]} × ${image.size[1]} pixels`], ["file", `${image.type}, ${number(image.bytes)} bytes`], ["sha256", image.sha256], ["stored", where],
      ["orientation", image.orientation === 1 ? "upright" : `EXIF ${image.orientation}: ${ORIENTATIONS[image.orientation] ?? "unknown"}`], ["transparency", image.transparent ? "yes" : "none"]];
    this.about.replaceChildren(...facts.flatMap(([k, v]) => { const d = el("dd", "mono"); d.append(pieces(v)); return [el("dt", "", k), d]; }));
    // Only the page's own program makes this link, from the image directory.
    if (image.href.startsWith("file:///")) { const a = el("a", "mono", plainText(image.href)); a.href = image.href; a.target = "_blank"; a.rel = "noreferrer"; this.about.append(el("dt", "", "file"), el("dd", "", a)); }
  },
};
