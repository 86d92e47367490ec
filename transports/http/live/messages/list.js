// A list of any length, of which only the rows that are seen are elements. It follows the newest
// entry while its end is seen and no row is chosen; else it stays where it is, and says how many
// have come since.

const AROUND = 6;  // rows above and below that are drawn, too
const ROW = 26;  // pixels, if live.css does not say

export class List {
  /** row(entry) makes the element of a row; tick(element, entry) tells the time in it anew;
   * open(entry) is called when a row is opened; newer is the button that leads to the end. */
  constructor(element, newer, {row, tick, open, move}) {
    this._element = element;
    this._newer = newer;
    this._row = row;
    this._tick = tick;
    this._entries = [];
    this._drawn = new Map();  // entry → {element, version}
    this._follows = true;
    this._seen = 0;  // the time of the last entry when the end was seen
    this._top = null;  // the first entry in sight, and how much of it is above
    this.chosen = null;
    this._left = null;  // what was chosen last: the keys go on from there
    this._space = document.createElement("li");
    this._space.className = "space";
    this._space.setAttribute("role", "presentation");
    element.append(this._space);
    element.addEventListener("scroll", () => this._scrolled());
    element.addEventListener("click", (event) => {
      const entry = event.target.closest("li")?.entry;
      if (entry && !getSelection().toString()) open(entry);
    });
    element.addEventListener("keydown", (event) => this._pressed(event, open, move));
    newer.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this._resized()).observe(element);
    this._resized();
  }

  /** These are the entries now. */
  show(entries) {
    this._entries = entries;
    this.draw();
  }

  get length() {
    return this._entries.length;
  }

  /** Mark this entry, or none, and bring it into sight. */
  choose(entry) {
    const before = this.chosen;
    this.chosen = entry;
    if (entry) {
      this._follows = false;
      this._reveal(this._entries.indexOf(entry));
    } else if (before) {
      this._follows = this._isAtEnd();
    }
    this._left = entry ?? before ?? this._left;
    this.draw();
  }

  toEnd() {
    this._left = null;
    this._follows = true;
    this.draw();
  }

  focus() {
    this._element.focus({preventScroll: true});
  }

  /** The time in the rows that are seen, for calls that are under way. */
  tick() {
    for (const [entry, {element}] of this._drawn) if (entry.isOpen) this._tick(element, entry);
  }

  draw() {
    const element = this._element, entries = this._entries;
    if (!element.clientHeight && entries.length) return;  // it is not shown
    this._space.style.height = `${entries.length * this._height}px`;
    if (this._follows) element.scrollTop = element.scrollHeight;
    else if (this._top) this._restore();
    const first = Math.max(0, Math.floor(element.scrollTop / this._height) - AROUND);
    const last = Math.ceil((element.scrollTop + element.clientHeight) / this._height) + AROUND;
    const drawn = new Map();
    for (const [at, entry] of entries.slice(first, last).entries()) {
      drawn.set(entry, this._place(entry, first + at));
    }
    for (const [entry, {element: row}] of this._drawn) {
      if (drawn.get(entry)?.element !== row) row.remove();
    }
    this._drawn = drawn;
    let above = this._space;  // in their order, for who reads the page with another program
    for (const {element: row} of drawn.values()) {
      if (above.nextSibling !== row) above.after(row);
      above = row;
    }
    this._remember();
  }

  _place(entry, at) {
    let found = this._drawn.get(entry);
    if (found?.version !== entry.version) {
      found = {element: this._row(entry), version: entry.version};
      found.element.entry = entry;
      found.element.setAttribute("role", "option");
    }
    const row = found.element, isChosen = entry === this.chosen;
    row.style.top = `${at * this._height}px`;
    row.id = `${this._element.id}-${at}`;
    row.setAttribute("aria-setsize", this._entries.length);
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-selected", isChosen);
    if (isChosen) this._element.setAttribute("aria-activedescendant", row.id);
    return found;
  }

  _remember() {
    const at = Math.floor(this._element.scrollTop / this._height);
    this._top = this._entries[at] && {entry: this._entries[at],
                                      above: this._element.scrollTop - at * this._height};
    if (this._follows || this._isAtEnd()) this._seen = this._entries.at(-1)?.time ?? this._seen;
    let newer = 0;  // the one that was seen last may be gone, or not listed now: its time tells
    while (newer < this._entries.length && this._entries.at(-1 - newer).time > this._seen) newer += 1;
    this._newer.hidden = newer === 0;
    this._newer.textContent = `${newer.toLocaleString("en")} new ↓`;
  }

  /** Older entries have gone, or others are shown: what was in sight stays there. */
  _restore() {
    const at = this._entries.indexOf(this._top.entry);
    if (at >= 0) this._element.scrollTop = at * this._height + this._top.above;
  }

  _isAtEnd() {
    const {scrollHeight, scrollTop, clientHeight} = this._element;
    return scrollHeight - scrollTop - clientHeight < this._height / 2;
  }

  _scrolled() {
    this._follows = this._isAtEnd() && !this.chosen;
    this._top = null;
    this.draw();
  }

  _resized() {
    const told = getComputedStyle(this._element).getPropertyValue("--row");
    const height = parseFloat(told) || ROW;
    if (height !== this._height && this._top) {
      this._element.scrollTop = 0;  // _restore finds the place again
    }
    this._height = height;
    this.draw();
    if (this.chosen) this._reveal(this._entries.indexOf(this.chosen));
  }

  _reveal(at) {
    if (at < 0) return;
    const element = this._element, top = at * this._height;
    this._space.style.height = `${this._entries.length * this._height}px`;
    const most = top, least = top + this._height - element.clientHeight;
    if (element.scrollTop > most) element.scrollTop = most;
    if (element.scrollTop < least) element.scrollTop = least;
    this._top = null;
  }

  _pressed(event, open, move) {
    const last = this._entries.length - 1, at = this._entries.indexOf(this.chosen ?? this._left);
    const page = Math.max(1, Math.floor(this._element.clientHeight / this._height) - 1);
    const next = {ArrowDown: at < 0 ? last : at + 1, ArrowUp: at < 0 ? last : at - 1, Home: 0,
                  End: last, PageDown: at + page, PageUp: at - page}[event.key];
    if (event.key === "Enter" && at >= 0) open(this._entries[at]);
    else if (next !== undefined && last >= 0) {
      move(this._entries[Math.min(Math.max(next, 0), last)]);
    } else return;
    event.preventDefault();
  }
}
