// The message graph: a lane for each branch beside the cards, and a map of the whole record.

const LANES = 8; // colours
const laneColour = (lane) => `var(--lane${lane % LANES})`;
const DOT = 24; // the place of a node's dot below the top of its row

class Graph {
  constructor(side) {
    this.side = side;
    this.gap = Math.max(3, Math.min(18, Math.floor(150 / Math.max(1, side.lanes))));
    this.width = Math.min(170, side.lanes * this.gap + 10);
    this.children = side.nodes.map(() => []);
    side.nodes.forEach((node, i) => { if (node.parent !== null) this.children[node.parent].push(i); });
    // The lines to children that are more than one row below: lane, first row, last row.
    this.long = [];
    side.nodes.forEach((node, i) => { if (node.parent !== null && i - node.parent > 1) this.long.push([node.lane, node.parent, i]); });
  }
  x(lane) { return this.gap / 2 + 4 + lane * this.gap; }
  /** The part of the graph beside one row. */
  row(i) {
    const node = this.side.nodes[i], out = svg("svg", { class: "lanes", "aria-hidden": "true", width: this.width });
    const line = (lane, y1, y2) => out.append(svg("line", { x1: this.x(lane), x2: this.x(lane), y1, y2, class: `lane lane${lane % LANES}` }));
    for (const [lane, from, to] of this.long) if (from < i && i < to) line(lane, 0, "100%");
    if (node.parent !== null) line(node.lane, 0, DOT);
    for (const child of this.children[i]) {
      const lane = this.side.nodes[child].lane;
      if (lane === node.lane) { line(lane, DOT, "100%"); continue; }
      const [from, to] = [this.x(node.lane), this.x(lane)];
      out.append(svg("path", { d: `M ${from} ${DOT} C ${from} ${DOT + 18}, ${to} ${DOT + 8}, ${to} ${DOT + 30}`, class: `lane lane${lane % LANES}` }));
      line(lane, DOT + 30, "100%");
    }
    const bad = this.side.bad.has(i), x = this.x(node.lane);
    const cls = `dot lane${node.lane % LANES}${node.sampled ? " sampled" : ""}`;
    if (bad) out.append(svg("circle", { cx: x, cy: DOT, r: 9, class: "ring" }));
    out.append(svg("circle", { cx: x, cy: DOT, r: node.sampled ? 5.5 : 5, class: cls }));
    return out;
  }
}

/** The whole graph in one picture: left to right, a row for each lane. A click goes to a node. */
function overview(side, choose) {
  const canvas = el("canvas", "map");
  const rows = Math.min(side.lanes, 12), lane = Math.max(8, Math.min(18, 84 / rows)), high = rows * lane + 10;
  canvas.style.height = `${high}px`;
  canvas.setAttribute("aria-hidden", "true");
  const count = side.nodes.length;
  const xOf = (i) => 8 + (count > 1 ? (i / (count - 1)) * (canvas.clientWidth - 16) : 0);
  const yOf = (node) => 5 + (Math.min(node.lane, rows - 1) + 0.5) * lane;
  const draw = () => {
    const style = getComputedStyle(document.documentElement), dense = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, canvas.clientWidth * dense); canvas.height = high * dense;
    const context = canvas.getContext("2d"), colour = (name) => style.getPropertyValue(name);
    context.scale(dense, dense);
    context.lineWidth = 1.5;
    side.nodes.forEach((node, i) => {
      if (node.parent === null) return;
      const parent = side.nodes[node.parent], [x1, y1, x2, y2] = [xOf(node.parent), yOf(parent), xOf(i), yOf(node)];
      context.strokeStyle = colour(`--lane${node.lane % LANES}`);
      context.beginPath(); context.moveTo(x1, y1);
      if (y1 !== y2) context.bezierCurveTo(x1 + 6, y2, x1 + 6, y2, Math.min(x2, x1 + 14), y2);
      context.lineTo(x2, y2); context.stroke();
    });
    const size = Math.max(1.5, Math.min(4.5, (canvas.clientWidth / count) * 0.4));
    side.nodes.forEach((node, i) => {
      const [x, y] = [xOf(i), yOf(node)];
      context.fillStyle = node.sampled ? colour("--sampled") : colour(`--lane${node.lane % LANES}`);
      context.beginPath(); context.arc(x, y, size, 0, 7); context.fill();
      if (node.content.some((part) => "image" in part)) { context.fillStyle = colour("--image"); context.fillRect(x - size * 0.7, y - size - 4, size * 1.4, 2.5); }
      if (side.bad.has(i)) { context.strokeStyle = colour("--bad"); context.lineWidth = 2; context.beginPath(); context.arc(x, y, size + 2.5, 0, 7); context.stroke(); context.lineWidth = 1.5; }
    });
  };
  const nodeAt = (event) => {
    let best = 0, least = Infinity;
    side.nodes.forEach((node, i) => { const d = Math.hypot(xOf(i) - event.offsetX, 2 * (yOf(node) - event.offsetY)); if (d < least) { least = d; best = i; } });
    return best;
  };
  canvas.addEventListener("click", (event) => choose(nodeAt(event)));
  canvas.addEventListener("pointermove", (event) => {
    const i = nodeAt(event), node = side.nodes[i], box = canvas.getBoundingClientRect();
    tip.show(`${plainText(node.path)} · ${plainText(node.role)} · ${plural(node.tokens, "token")}`, box.left + xOf(i), box.top);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  new ResizeObserver(draw).observe(canvas);
  canvas.redraw = draw;
  return canvas;
}
