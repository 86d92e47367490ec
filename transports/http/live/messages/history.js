// What is kept of what has passed: messages, the calls that they make, and lines of the log. All of
// it is bounded, in number and in memory. A restart of the router is a line in it.

import {Call} from "./call.js";
import {OURS} from "../http.js";

const MOST = 5000;  // messages
const MOST_LINES = 2000;  // of the log: a server that says much pushes out no message
const MOST_TEXT = 16 * 2 ** 20;  // characters of them
const UNHEARD = 2500;  // milliseconds after which a call that the router does not know is lost
const BURST = 1;  // seconds of which what was missed is one line
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
    this.cleared = null;  // when that was
    this.all = [];  // messages and lines, the oldest first
    this.calls = [];  // calls and lines
    this._byNumber = new Map();  // the router's number of a call → Call
    this._size = 0;
    this._run = null;
    this._last = 0;  // the number of the last message
    this._lastLine = 0;
    this._begun = null;  // the line where this run of the router begins, if there was another one
    this._gap = null;  // the last line that tells what was missed
    [this._servers, this._surfaces] = [[], new Map()];  // as the state tells of them
    this._busy = null;  // the sessions that have calls under way
    this._isFirst = true;  // whether the next messages are the first of a stream
  }

  /** The stream has begun: of the same run of the router as before, or of another one. */
  begin(run) {
    if (this._run !== null && this._run !== run) {
      this.lose("the router was restarted before it answered");
      [this._byNumber, this._last, this._lastLine] = [new Map(), 0, 0];
      this._gap = null;
      this._begun = new Line(Date.now() / 1000, "The router was restarted.", null, "mark");
      this._line(this._begun);
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
    if (this._isFirst && this._last) this.miss(next[0].n - this._last - 1);
    [this._isFirst, this._last] = [false, next.at(-1).n];
    for (const message of next) this._add(message);
    this._forget();
  }

  /** So many messages, until that with this number, are not told here. */
  miss(number, until = this._last + number) {
    if (!number || until <= this._last) return;  // it is known, as what comes again is
    this._last = until;
    const time = this.all.findLast((entry) => !entry.isLine)?.time ?? Date.now() / 1000;
    let [missed, begun] = [number, time];
    if (this._gap && time - this._gap.begun < BURST) {  // one line tells of all, at the end
      [missed, begun] = [number + this._gap.missed, this._gap.begun];
      this._remove(this._gap);
    }
    const word = missed === 1 ? "message" : "messages";
    this._gap = Object.assign(new Line(
      time, `${missed.toLocaleString("en")} ${word} before this line were too many to show.`, null,
      "mark"), {missed, begun});
    this._line(this._gap);
  }

  /** So many were too many to show, of those between what is kept. */
  get missed() {
    return this.all.reduce((sum, entry) => sum + (entry.missed ?? 0), 0);
  }

  /** Lines of the log. They may come a little later than the messages around them. */
  log(lines) {
    for (const line of lines.filter((one) => one.n > this._lastLine)) {
      this._lastLine = line.n;
      this._line(new Line(line.time, line.text, line.server, line.level));
    }
    this._forget();
  }

  /** All but the calls under way: their answers are still to come. */
  clear() {
    this.cleared = Date.now() / 1000;
    this.all = this.all.filter((entry) => entry.belongs?.isOpen);
    this.calls = this.calls.filter((entry) => entry.isOpen);
    this._size = this.all.reduce((sum, {text}) => sum + text.length, 0);
    for (const [number, call] of this._byNumber) if (!call.isOpen) this._byNumber.delete(number);
    this._gap = null;
  }

  /** These sessions have calls under way; null: that is not known. */
  state(busy, servers = [], sessions = []) {
    this._busy = busy && new Set(busy);
    if (!busy) return;
    this._servers = servers;
    this._surfaces = new Map(sessions.map(({name, surface}) => [name, surface]));
  }

  /** Of which server a call was that has reached none: that is stopped, for example. */
  _serverOf({name, session}) {
    const one = this._surfaces.get(session), found = this._servers.filter(
      (server) => server.name === one || (server.prefix && name.startsWith(server.prefix)));
    return found.sort((a, b) => (b.prefix ?? "").length - (a.prefix ?? "").length)[0]?.name;
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
    this._insert(this.all, message);
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
    if (call.end !== null && call.name && !call.servers.length) {
      call.servers.push(...[this._serverOf(call)].filter(Boolean));
    }
    if (!wasListed && call.asked !== null && isCalled(call)) this._insert(this.calls, call);
  }

  _line(line) {
    this._size += line.text.length;
    this._insert(this.all, line);
    this._insert(this.calls, line);
  }

  _remove(line) {
    if (!this.all.includes(line)) return;
    this._size -= line.text.length;
    for (const entries of [this.all, this.calls]) entries.splice(entries.lastIndexOf(line), 1);
  }

  /** Lines and messages come each in their order: at its place by time among the others, which is
   * near the end. The clock of another run of the router may be another one. */
  _insert(entries, entry) {
    let at = entries.length;
    while (at > 0 && entry !== this._begun && entries[at - 1] !== this._begun
           && entries[at - 1].time > entry.time
           && (entry.isLine || entries[at - 1].isLine)) at -= 1;
    if (at > 0 && entries[at - 1] === this._begun && entry.time < this._begun.time) {
      Object.assign(this._begun, {time: entry.time, version: this._begun.version + 1});
    }
    entries.splice(at, 0, entry);
  }

  _forget() {
    let lines = this.all.filter(isOfLog).length - MOST_LINES;
    let messages = this.all.length - lines - MOST_LINES - MOST;
    if (lines <= 0 && messages <= 0 && this._size <= MOST_TEXT) return;
    this.all = this.all.filter((entry) => {
      const isLine = isOfLog(entry);
      if (this._size <= MOST_TEXT && (isLine ? lines : messages) <= 0) return true;
      this._size -= entry.text.length;
      entry.belongs?.drop();
      entry.isGone = true;
      [lines, messages] = isLine ? [lines - 1, messages] : [lines, messages - 1];
      return false;
    });
    this.calls = this.calls.filter((entry) => entry.isCall
      ? entry.messages.length || entry.isOpen : !entry.isGone);
    let calls = this.calls.filter((entry) => entry.isCall).length - MOST;
    if (calls > 0) this.calls = this.calls.filter((entry) => !entry.isCall || (calls -= 1) < 0);
    for (const [number, call] of this._byNumber) {
      if (!call.messages.length && !call.isOpen) this._byNumber.delete(number);
    }
  }
}

/** What the page itself says stays as long as the messages around it. */
function isOfLog(entry) {
  return entry.isLine && entry.level !== "mark";
}

/** Whether a reader takes it for a call. What this page asks of its own accord is none. */
function isCalled({method, client}) {
  return !UNCALLED.has(method) && (client !== OURS || TRIED.has(method));
}
