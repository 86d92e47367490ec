// Calls, or messages: which of them are listed, which one is open, and where the keyboard is. The
// rest of the page asks this for what it needs of them:
//
//     add, log, miss, state, begin    what the router tells      all, listed    messages
//     only(name, value)               filters                    open(entry)    a call or a message

import {Details} from "./details.js";
import {Filters} from "./filters.js";
import {History} from "./history.js";
import {List} from "./list.js";
import {row, tick} from "./rows.js";
import {clockTime} from "../text.js";

const TICK = 200;  // milliseconds, while a call is under way
const $ = (id) => document.getElementById(id);

export class View {
  /** opened(call, message, text) is called with what is open, whenever that has changed: a Call or
   * null, a message or null, and a function that has the text of a message. */
  constructor(opened) {
    this._opened = opened;
    this.live = this.history = new History();  // what passes; what is shown
    this.filters = new Filters(() => this._filter());
    this.details = new Details((message) => this.open(message));
    this._lists = {calls: this._list("calls"), messages: this._list("messages")};
    this._shown = null;
    for (const name of ["calls", "messages"]) {
      $(`show-${name}`).addEventListener("click", () => this.show(name));
    }
    $("details-close").addEventListener("click", () => this.close());
    $("clear").addEventListener("click", () => this.clear());
    $("with-log").addEventListener("change", () => this._filter());
    this.show("calls");
  }

  _list(name) {
    return new List($(name), $(`new-${name}`), {
      row, tick, open: (entry) => this.open(entry), move: (entry) => this._move(entry)});
  }

  // -- what the router tells

  begin(run) {
    this.live.begin(run);
    this._drawSoon();
  }

  add(batch) {
    this.live.add(batch);
    this._drawSoon();
  }

  log(lines) {
    this.live.log(lines);
    this._drawSoon();
  }

  miss(number, until) {
    this.live.miss(number, until);
    this._drawSoon();
  }

  state(...told) {
    this.live.state(...told);
  }

  /** Show this history in place of what passes now; null: that again. */
  use(history) {
    const next = history ?? this.live;
    if (next === this.history) return;
    this.close();
    this.history = next;
    this._filter();
  }

  // -- what a person does

  /** "calls" or "messages". What is open stays open. */
  show(name) {
    this._shown = name;
    for (const one of ["calls", "messages"]) {
      $(`show-${one}`).setAttribute("aria-pressed", one === name);
      $(`${one}-box`).hidden = one !== name;
    }
    const list = this._lists[name];
    list.chosen = name === "messages" ? this.details.message : this.details.entry;
    this._draw();
    if (list.chosen) list.choose(list.chosen);
  }

  only(name, value) {
    this.filters.only(name, value);
  }

  /** A call, a message, a message of a call, or a line of the log. */
  open(entry) {
    const call = entry.isCall ? entry : entry.belongs ?? null;
    const message = entry.isCall ? null : entry;
    this.details.open(call ?? message, message);
    this._mark(message?.isLine ? message : call, message);
    this._tell();
  }

  close() {
    if (!this.details.isOpen) return;
    this.details.close();
    this._mark(null, null);
    this._lists[this._shown].focus();
    this._tell();
  }

  clear() {
    this.history.clear();
    this._drawSoon();
  }

  /** All messages that are kept, the oldest first. */
  all() {
    return this.history.all.filter((entry) => !entry.isLine);
  }

  /** The messages that are listed, or those of the calls that are listed. */
  listed() {
    const entries = this._entries().filter((entry) => !entry.isLine && this.filters.lets(entry));
    return entries.flatMap((entry) => entry.isCall ? entry.messages : [entry]);
  }

  // -- drawing: at most once a frame, and the time of calls under way five times a second

  _entries() {
    return this._shown === "calls" ? this.history.calls : this.history.all;
  }

  _mark(call, message) {
    this._lists.calls.choose(call);
    this._lists.messages.choose(message);
  }

  /** The arrow keys: the details change too. */
  _move(entry) {
    if (this.details.isOpen) this.open(entry);
    else this._lists[this._shown].choose(entry);
  }

  _filter() {
    this._draw();
    const list = this._lists[this._shown];
    if (list.chosen) list.choose(list.chosen);
    else list.toEnd();
  }

  _drawSoon() {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      this._draw();
    });
  }

  _draw() {
    const all = this._entries(), withLog = $("with-log").checked;
    const entries = all.filter((entry) => (withLog || !entry.isLine || entry.level === "mark")
                               && this.filters.lets(entry));
    $(`${this._shown}-box`).hidden = entries.length === 0;
    this._lists[this._shown].show(entries);
    this.filters.draw(this.history.all);
    this._count(all, entries);
    const isEmpty = all.every((entry) => entry.isLine);
    $("first-steps").hidden = !isEmpty || this.history.cleared !== null;
    $("cleared").hidden = !isEmpty || this.history.cleared === null;
    $("cleared").textContent = `Cleared at ${clockTime(this.history.cleared)}.${
      this.history === this.live ? " What passes from now on appears here." : ""}`;
    $("no-match").hidden = entries.length > 0 || isEmpty;
    $("no-match-words").textContent = `No ${this._shown.slice(0, -1)} matches these filters.`;
    if (this.details.isOpen) {
      this.details.draw();
      this._tell();
    }
    this._tickSoon();
  }

  _count(all, entries) {
    const [shown, known] = [entries, all].map((some) => some.filter((one) => !one.isLine).length);
    const many = known.toLocaleString("en"), {missed} = this.history;
    const word = known === 1 ? this._shown.slice(0, -1) : this._shown;
    $("count").value = `${shown === known ? "" : `${shown.toLocaleString("en")} of `}${many} ${word}${
      missed ? `, ${missed.toLocaleString("en")} messages were too many to show` : ""}`;
  }

  _tell() {
    const {entry, message} = this.details, call = entry?.isCall ? entry : null;
    this._opened(call, message?.isLine ? null : message, (one) => this.details.textOf(one));
  }

  _tickSoon() {
    if (this._timer || !this.history.open().length) return;
    this._timer = setTimeout(() => {
      this._timer = null;
      const before = this.history.open().length;
      this._lists[this._shown].tick();
      this.details.tick();
      if (this._openBefore !== before) this._drawSoon();
      this._openBefore = before;
      this._tickSoon();
    }, TICK);
  }
}
