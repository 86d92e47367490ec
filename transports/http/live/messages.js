// The list of messages: what is kept, which of it the filters let through, and its newest part
// drawn. A busy router sends thousands of messages a second, so all of this is bounded, and rows
// are added and removed only, at most once a frame: a row that stays keeps its focus.

import {bytes, clockTime, make, outside, shorten, shortName} from "./text.js";
import {description, isError, marks} from "./ladder.js";

const KEPT = 1000;
const DRAWN = 300;
const WAYS = {
  "from client": "client → router", "to server": "router → server",
  "from server": "server → router", "to client": "router → client",
};
const $ = (id) => document.getElementById(id);

export class Messages {
  /** open(message) is called when a row is chosen. */
  constructor(open) {
    this.kept = [];
    this.waiting = [];  // what came while paused, no more than KEPT
    this.paused = false;
    this.missed = 0;    // messages that were too many for the router to show
    this.chosen = null;
    this._open = open;
    this._matching = [];
    this._list = $("messages");
    this._filters = ["session", "server", "method"].map((name) => [name, $(`by-${name}`)]);
    for (const [, select] of this._filters) {
      select.addEventListener("change", () => this._filter());
    }
    $("by-text").addEventListener("input", () => this._filter());
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("pause").addEventListener("click", () => this._pause());
    $("clear").addEventListener("click", () => this.clear());
    this._list.addEventListener("keydown", (event) => this._move(event));
  }

  add(batch) {
    if (this.paused) {
      this.waiting = [...this.waiting, ...batch].slice(-KEPT);
    } else {
      this.kept = [...this.kept, ...batch].slice(-KEPT);
      const oldest = this.kept[0]?.n;
      this._matching = [...this._matching, ...batch.filter(this._test())].filter(
        (message) => message.n >= oldest);
    }
    this._drawSoon();
  }

  miss(number) {
    this.missed += number;
    this._drawSoon();
  }

  clear() {
    this.missed = 0;
    [this.kept, this.waiting, this._matching] = [[], [], []];
    this._list.replaceChildren();
    this._drawSoon();
  }

  /** Those that came while paused, too. */
  all() {
    return [...this.kept, ...this.waiting];
  }

  ofCall(call) {
    return this.all().filter((message) => message.call === call);
  }

  /** Show only what has this value: only("server", "time"). */
  only(name, value) {
    const select = $(`by-${name}`);
    addOption(select, value);
    select.value = value;
    this._filter();
  }

  /** Mark the row of this message, or none. */
  choose(message) {
    this.chosen = message;
    for (const row of this._list.children) this._mark(row);
  }

  focus() {
    (this._rowOf(this.chosen) ?? this._current() ?? this._list).focus();
  }

  _test() {
    const wanted = this._filters.filter(([, select]) => select.value);
    const text = $("by-text").value.toLowerCase();
    return (message) => wanted.every(([name, select]) => message[name] === select.value)
      && (!text || message.text.toLowerCase().includes(text));
  }

  _filter() {
    this._matching = this.kept.filter(this._test());
    this._list.replaceChildren();
    this._drawSoon();
  }

  _pause() {
    this.paused = !this.paused;
    $("pause").setAttribute("aria-pressed", this.paused);
    $("pause").textContent = this.paused ? "Go on" : "Pause";
    const came = this.waiting;
    this.waiting = [];
    this.add(came);
  }

  _drawSoon() {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      this._draw();
    });
  }

  _draw() {
    const list = this._list, shown = this._matching.slice(-DRAWN);
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const hadFocus = list.contains(document.activeElement);
    while (list.firstChild && !(list.firstChild.message.n >= shown[0]?.n)) list.firstChild.remove();
    const newest = list.lastChild?.message.n ?? -1;
    list.append(...shown.filter((message) => message.n > newest).map((one) => this._row(one)));
    if (atEnd) list.scrollTop = list.scrollHeight;
    const current = this._current();
    if (current) current.tabIndex = 0;
    if (hadFocus && !list.contains(document.activeElement)) current?.focus({preventScroll: true});
    this._drawFilters();
    const more = (this.waiting.length ? `, ${this.waiting.length} more since the pause` : "")
      + (this.missed ? `, ${this.missed} were too many to show` : "");
    $("count").value = this._matching.length === this.kept.length ? `${this.kept.length}${more}`
      : `${this._matching.length} of ${this.kept.length}${more}`;
    $("first-steps").hidden = this.kept.length > 0;
    $("no-match").hidden = this._matching.length > 0 || this.kept.length === 0;
    list.hidden = this._matching.length === 0;
  }

  _drawFilters() {
    for (const [name, select] of this._filters) {
      const known = new Set(Array.from(select.options, (option) => option.value));
      const values = new Set(this.kept.map((message) => message[name]).filter(Boolean));
      for (const value of values) if (!known.has(value)) addOption(select, value);
      for (const option of [...select.options].slice(1)) {
        if (!values.has(option.value) && !option.selected) option.remove();
      }
    }
  }

  _row(message) {
    const cells = [
      make("span", "time", clockTime(message.time)), make("span", "way", WAYS[message.place]),
      make("span", "what", ...description(message)), make("span", "marks", ...marks(message)),
      outside(shortName(message.session), "session"), outside(message.server ?? "", "server"),
      make("span", "size", bytes(message.size))];
    const box = make("button", "row", ...cells);
    box.type = "button";
    box.tabIndex = -1;
    box.addEventListener("click", () => this._open(message));
    const row = make("li", `${message.kind}${isError(message) ? " error" : ""}`, box);
    row.message = message;
    this._mark(row);
    return row;
  }

  _mark(row) {
    row.firstChild.setAttribute("aria-current", row.message === this.chosen);
  }

  _rowOf(message) {
    return Array.from(this._list.children).find((row) => row.message === message)?.firstChild;
  }

  /** The one row that the Tab key reaches; the arrow keys go on from there. */
  _current() {
    return this._list.querySelector("button[tabindex='0']") ?? this._list.lastChild?.firstChild;
  }

  _move(event) {
    const rows = Array.from(this._list.children, (row) => row.firstChild);
    const at = rows.indexOf(document.activeElement);
    const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
    if (next === undefined || !rows[next]) return;
    event.preventDefault();
    for (const row of rows) row.tabIndex = -1;
    rows[next].tabIndex = 0;
    rows[next].focus();
  }
}

function addOption(select, value) {
  if (Array.from(select.options).some((option) => option.value === value)) return;
  select.append(outside(shorten(value, 60), "", "option"));
  select.lastChild.value = value;
}
