// A list of rows of any height, of which only those near the window are in the document.

class VirtualList {
  /** `render(index)` makes a row; `scroller` is the element that scrolls. */
  constructor(scroller, host, render, estimate) {
    Object.assign(this, { scroller, host, render, estimate, rows: new Map(), items: [] });
    this.observer = new ResizeObserver((entries) => this.measured(entries));
    scroller.addEventListener("scroll", () => this.update(), { passive: true });
    new ResizeObserver(() => this.update()).observe(scroller);
  }
  /** Show these items: numbers that `render` knows. */
  show(items) {
    this.clear();
    this.items = items;
    this.heights = new Float64Array(items.length).fill(this.estimate);
    this.tops = new Float64Array(items.length + 1);
    this.place();
    this.update();
  }
  clear() {
    for (const row of this.rows.values()) { this.observer.unobserve(row); row.remove(); }
    this.rows.clear();
  }
  /** Make the rows in the window again. */
  refresh() { this.clear(); this.update(); }
  place() {
    for (let i = 0; i < this.items.length; i++) this.tops[i + 1] = this.tops[i] + this.heights[i];
    this.host.style.height = `${this.tops[this.items.length]}px`;
    for (const [i, row] of this.rows) row.style.transform = `translateY(${this.tops[i]}px)`;
  }
  /** The first row that ends below `y`. */
  at(y) {
    let low = 0, high = this.items.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.tops[middle + 1] <= y) low = middle + 1; else high = middle; }
    return low;
  }
  get offset() { return this.host.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top; }
  update() {
    if (!this.items.length) return;
    const margin = 700, above = -this.offset;
    const first = this.at(above - margin), last = Math.min(this.items.length - 1, this.at(above + this.scroller.clientHeight + margin));
    const held = document.activeElement;
    for (const [i, row] of this.rows) {
      // A row with the focus stays, so that the keyboard does not lose its place.
      if ((i < first || i > last) && !row.contains(held)) { this.observer.unobserve(row); row.remove(); this.rows.delete(i); }
    }
    for (let i = first; i <= last; i++) {
      if (this.rows.has(i)) continue;
      const row = this.render(this.items[i]);
      row.classList.add("row");
      row.dataset.at = i;
      row.style.transform = `translateY(${this.tops[i]}px)`;
      this.rows.set(i, row);
      const after = [...this.host.children].find((other) => +other.dataset.at > i);
      this.host.insertBefore(row, after ?? null);
      this.observer.observe(row);
    }
  }
  measured(entries) {
    const above = -this.offset;
    let moved = 0, changed = false;
    for (const { target } of entries) {
      const i = +target.dataset.at, height = target.offsetHeight;
      if (this.rows.get(i) !== target || !height || Math.abs(height - this.heights[i]) < 0.5) continue;
      if (this.tops[i] + this.heights[i] <= above) moved += height - this.heights[i];
      this.heights[i] = height;
      changed = true;
    }
    if (!changed) return;
    this.place();
    // What is read stays where it is while rows above it get their height.
    if (moved && this.aim === undefined) this.scroller.scrollTop += moved;
    this.aimed();
    this.update();
  }
  /** Scroll to an item, also while rows on the way are measured. */
  reveal(item, gap = 8) {
    const i = this.items.indexOf(item);
    if (i < 0) return;
    this.aim = [i, gap];
    this.aimed();
    this.update();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.aim = undefined; }, 300);
  }
  aimed() {
    if (this.aim === undefined) return;
    const [i, gap] = this.aim;
    this.scroller.scrollTop += this.offset + this.tops[i] - gap;
  }
  row(item) { return this.rows.get(this.items.indexOf(item)); }
}
