// The tokens of a message as a strip: its colours are kinds, its bars surprise.

const KINDS = ["scaffold", "content", "sampled", "image placeholder", "other media", "prompt"];
const KIND_COLOURS = ["--scaffold", "--content", "--sampled", "--image", "--media", "--prompt"];
const IMAGE = 3, MEDIA = 4, SAMPLED = 2;
const BAND = 12, BARS = 22, MOST = 6; // pixels, pixels, and nats of the highest bar

const numbers = (text, kind) => (text ? new kind(fromBase64(text).buffer) : null);

/** Positions of runs on a strip: an image of 10,000 tokens must not hide the text around it. */
function placed(node) {
  const runs = [];
  let text = 0, media = 0;
  for (let i = 0, begin = 0; i < node.runs.length; i += 2) {
    const [kind, length] = [node.runs[i], node.runs[i + 1]];
    const wide = kind === IMAGE || kind === MEDIA;
    runs.push({ kind, begin, length, wide });
    if (wide) media++; else text += length;
    begin += length;
  }
  const most = Math.max(16, (text || 40) / (2 * Math.max(1, media)));
  let at = 0;
  for (const run of runs) { run.at = at; run.size = run.wide ? Math.min(run.length, most) : run.length; at += run.size; }
  return { runs, total: at };
}

function strip(node, width) {
  const canvas = el("canvas", "strip");
  const { runs, total } = placed(node);
  const logprobs = numbers(node.logprobs, Float32Array), ids = numbers(node.ids, Uint32Array);
  const high = logprobs ? BARS + BAND : BAND + 4;
  const sampledBefore = [];
  let count = 0;
  for (const run of runs) { sampledBefore.push(count); if (run.kind === SAMPLED) count += run.length; }
  let chosen = null;

  const describe = (token) => {
    const at = runs.findIndex((run) => token < run.begin + run.length), run = runs[at];
    const parts = [`token ${number(token + 1)} of ${number(node.tokens)}`];
    if (ids) parts.push(`id ${ids[token]}`);
    parts.push(KINDS[run.kind] + (run.wide ? `, ${number(run.length)} tokens` : ""));
    if (run.kind === SAMPLED && logprobs && count === logprobs.length) {
      const value = logprobs[sampledBefore[at] + token - run.begin];
      parts.push(`logprob ${value.toPrecision(3)}`, `p ${Math.exp(value).toPrecision(2)}`);
    }
    return parts.join(" · ");
  };
  const tokenAt = (x) => {
    const place = Math.max(0, Math.min(total - 1e-6, (x / canvas.clientWidth) * total));
    const run = runs.findLast((one) => one.at <= place) ?? runs[0];
    return Math.min(run.begin + run.length - 1, run.begin + Math.floor(((place - run.at) / run.size) * run.length));
  };
  const xOf = (token) => {
    const run = runs.find((one) => token < one.begin + one.length);
    return ((run.at + ((token + 0.5 - run.begin) / run.length) * run.size) / total) * canvas.clientWidth;
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement), dense = window.devicePixelRatio || 1;
    const wide = canvas.clientWidth || width;
    canvas.width = Math.max(1, Math.round(wide * dense)); canvas.height = Math.round(high * dense);
    const context = canvas.getContext("2d");
    context.scale(dense, dense);
    const top = high - BAND, scale = wide / total;
    runs.forEach((run, index) => {
      const x = run.at * scale, w = Math.max(0.75, run.size * scale);
      context.fillStyle = style.getPropertyValue(KIND_COLOURS[run.kind]);
      context.fillRect(x, top, w, BAND);
      if (run.wide) {
        context.fillStyle = style.getPropertyValue("--card");
        context.fillRect(x, top, 1, BAND); context.fillRect(x + w - 1, top, 1, BAND);
        const label = number(run.length);
        context.font = "600 9px system-ui, sans-serif";
        if (context.measureText(label).width + 6 < w) {
          context.fillStyle = style.getPropertyValue("--on-image"); context.textAlign = "center"; context.textBaseline = "middle";
          context.fillText(label, x + w / 2, top + BAND / 2 + 0.5);
        }
      }
      if (run.kind !== SAMPLED || !logprobs || count !== logprobs.length) return;
      context.fillStyle = style.getPropertyValue("--surprise");
      for (let i = 0; i < run.length; i++) {
        const nats = Math.min(MOST, Math.max(0, -logprobs[sampledBefore[index] + i]));
        const tall = Math.sqrt(nats / MOST) * (BARS - 2); // the root, so that small ones are seen
        context.fillRect(x + i * scale, top - tall, Math.max(0.75, scale - (scale > 3 ? 1 : 0)), tall);
      }
    });
    if (chosen !== null) {
      context.fillStyle = style.getPropertyValue("--text");
      context.fillRect(xOf(chosen) - 1, 0, 2, high);
    }
  };
  canvas.style.height = `${high}px`;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "slider");
  canvas.setAttribute("aria-label", `${plural(node.tokens, "token")}: use the arrow keys`);
  canvas.setAttribute("aria-valuemin", "1");
  canvas.setAttribute("aria-valuemax", String(node.tokens));
  const choose = (token) => {
    chosen = token;
    draw();
    if (token === null) { tip.hide(); return; }
    const told = describe(token), box = canvas.getBoundingClientRect();
    canvas.setAttribute("aria-valuenow", String(token + 1));
    canvas.setAttribute("aria-valuetext", told);
    tip.show(told, box.left + xOf(token), box.top);
  };
  canvas.addEventListener("pointermove", (event) => choose(tokenAt(event.offsetX)));
  canvas.addEventListener("pointerleave", () => choose(null));
  canvas.addEventListener("blur", () => choose(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault(); event.stopPropagation();
    choose(Math.max(0, Math.min(node.tokens - 1, (chosen ?? (step > 0 ? -1 : 0)) + step)));
  });
  new ResizeObserver(draw).observe(canvas);
  canvas.redraw = draw;
  return canvas;
}

const tip = {
  node: el("div", "tip"),
  show(text, x, y) {
    this.node.textContent = text;
    this.node.hidden = false;
    const wide = this.node.offsetWidth;
    this.node.style.left = `${Math.max(4, Math.min(window.innerWidth - wide - 4, x - wide / 2))}px`;
    this.node.style.top = `${Math.max(4, y - this.node.offsetHeight - 6)}px`;
  },
  hide() { this.node.hidden = true; },
};
