// What is kept of what has passed: messages, the calls that they make, and lines of the log. All of
// it is bounded, in number and in memory. A restart of the router is a line in it.

import {Call} from "./call.js";
import {OURS} from "../http.js";

const MOST = 5000;  // messages and lines
const MOST_TEXT = 16 * 2 ** 20;  // characters of them
const UNHEARD = 2500;  // milliseconds after which a call that the router does not know is lost
const UNCALLED = new Set(["ping"]);  // requests that are no calls to a reader
const TRIED = new Set(["tools/call", "prompts/get", "resources/read"]);

/** A line of the log of a server, or what the page itself has to say. */
export class Line {
  constructor(time, text, server = null, level = "info") {
    Object.assign(this, {isLine: true, version: 0, time, text, server, level});
  }
}

export class History {
  constructor() {
    this.missed = 0;  // messages that were too many for the router to tell
    this.all = [];  // messages and lines, the oldest first
    this.calls = [];  // calls and lines
    this._byNumber = new Map();  // the router's number of a call → Call
    this._size = 0;
    this._run = null;
    this._last = 0;  // the number of the last message
    this._lastLine = 0;
    this._busy = null;  // the sessions that have calls under way
    this._isFirst = true;  // whether the next messages are the first of a stream
  }

  /** The stream has begun: of the same run of the router as before, or of another one. */
  begin(run) {
    if (this._run !== null && this._run !== run) {
      this.lose("the router was restarted before it answered");
      [this._byNumber, this._last, this._lastLine] = [new Map(), 0, 0];
      this._line(new Line(Date.now() / 1000, "The router was restarted.", null, "mark"));
    }
    [this._run, this._busy, this._isFirst] = [run, null, true];
  }

  get run() {
    return this._run;
  }

  /** Messages as the router tells them. Those that came before, in the same run, are known. */
  add(batch) {
    const next = batch.filter((message) => message.n > this._last);
    if (!next.length) return;
    // While the stream was broken, more may have passed than the router keeps.
    if (this._isFirst && this._last) this.missed += next[0].n - this._last - 1;
    [this._isFirst, this._last] = [false, next.at(-1).n];
    for (const message of next) this._add(message);
    this._forget();
  }

  /** So many are not among those that follow. */
  miss(number) {
    this.missed += number;
  }

  /** Lines of the log. They may come a little later than the messages around them. */
  log(lines) {
    for (const line of lines.filter((one) => one.n > this._lastLine)) {
      this._lastLine = line.n;
      this._line(new Line(line.time, line.text, line.server, line.level));
    }
    this._forget();
  }

  clear() {
    [this.missed, this._size, this.all, this.calls] = [0, 0, [], []];
    this._byNumber = new Map();
  }

  /** These sessions have calls under way. */
  state(busy) {
    this._busy = busy && new Set(busy);
  }

  /** Calls that are under way. The router may have lost one: its client has left, or its answer
   * was too much to be told. */
  open() {
    const found = this.calls.filter((entry) => entry.isOpen);
    for (const call of this._busy ? found : []) {
      if (performance.now() - call.heard > UNHEARD && !this._busy.has(call.session)) {
        call.lose("its client has left, or the answer could not be shown");
      }
    }
    return found.filter((call) => call.isOpen && !call.lasts);
  }

  /** No answer will be seen of any call under way. */
  lose(why) {
    for (const entry of this.calls) if (entry.isOpen) entry.lose(why);
  }

  _add(message) {
    message.version = 0;
    message.run ??= this._run;
    this.all.push(message);
    this._size += message.text.length;
    if (message.call === null || message.call === undefined) return;
    let call = this._byNumber.get(message.call);
    if (!call) {
      call = new Call(message);
      this._byNumber.set(message.call, call);
    }
    message.belongs = call;
    const wasListed = call.asked !== null;
    call.add(message);
    if (!wasListed && call.asked !== null && isCalled(call)) this.calls.push(call);
  }

  _line(line) {
    this._size += line.text.length;
    insert(this.all, line);
    insert(this.calls, line);
  }

  _forget() {
    let gone = 0;
    while (this.all.length - gone > MOST || this._size > MOST_TEXT) {
      const entry = this.all[gone];
      this._size -= entry.text.length;
      entry.belongs?.drop();
      gone += 1;
    }
    if (!gone) return;
    this.all = this.all.slice(gone);
    const oldest = this.all[0]?.time ?? Infinity;
    this.calls = this.calls.filter((entry) => entry.isCall
      ? entry.messages.length || entry.isOpen : entry.time >= oldest).slice(-MOST);
    for (const [number, call] of this._byNumber) {
      if (!call.messages.length && !call.isOpen) this._byNumber.delete(number);
    }
  }
}

/** Whether a reader takes it for a call. What this page asks of its own accord is none. */
function isCalled({method, client}) {
  return !UNCALLED.has(method) && (client !== OURS || TRIED.has(method));
}

/** At its place by time, which is near the end. */
function insert(entries, line) {
  let at = entries.length;
  while (at > 0 && entries[at - 1].time > line.time) at -= 1;
  entries.splice(at, 0, line);
}
