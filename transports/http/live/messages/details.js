// A call that is open: the request and the answer side by side, as what they are; the questions
// within it; then its messages as a ladder, and the chosen one as it was sent.

import {ask} from "../http.js";
import {asksForMore} from "./call.js";
import {block, contentsOf, wordOf} from "./content.js";
import {ladder} from "./ladder.js";
import {bytes, button, clockTime, contentOf, duration, indented, make, outside, shorten, visible,
        written} from "../text.js";
import {nameOfClient} from "./filters.js";

const SHOWN = 200_000;  // characters of a message as it was sent
const FETCHED = 2 ** 20;  // bytes: what was cut, and is no longer, is fetched without being asked
const $ = (id) => document.getElementById(id);

export class Details {
  /** choose(message) is called when a step of the ladder is chosen. */
  constructor(choose) {
    this.entry = null;  // a Call, a message that belongs to none, or a line of the log
    this.message = null;  // the one that is shown as it was sent
    this._choose = choose;
    this._sections = new Map();  // name → {key, element}
    this._whole = new WeakMap();  // message → its text, or a problem; while it is fetched, null
  }

  get isOpen() {
    return !$("details").hidden;
  }

  open(entry, message) {
    if (this.entry !== entry) {
      this._sections.clear();
      $("details-body").replaceChildren();
      $("details").scrollTop = 0;
    }
    [this.entry, this.message] = [entry, message];
    $("details").hidden = false;
    this.draw();
  }

  close() {
    $("details").hidden = true;
    this.entry = this.message = null;
    this._sections.clear();
    $("details-body").replaceChildren();
  }

  /** Draw anew what has changed. */
  draw() {
    const call = this.entry?.isCall ? this.entry : null, message = this.message;
    if (!this.entry) return;
    if (this.entry.isLine) {
      this._drawLine(this.entry);
      return;
    }
    const messages = call ? call.messages : [this.entry];
    $("details-title").replaceChildren(outside(shorten(call ? call.title
      : this.entry.method ?? "One message", 200)));
    const sides = call && call.asked !== null ? this._sides(call) : [];
    this._put([
      ["summary", call && `${call.version} ${call.isOpen}`, () => summary(call)],
      ...sides,
      ["questions", call && call.questions + messages.filter(asksForMore).length > 0
        && `${call.version}`, () => questions(messages)],
      ["ladder", `${messages.length} ${messages[0]?.n} ${message?.n}`,
       () => ladder(messages, message, this._choose, call)],
      ["sent", message && `${message.n} ${this._stateOf(message)}`, () => this._sent(message)],
    ]);
  }

  _drawLine(line) {
    $("details-title").replaceChildren(outside(line.server ?? "The log"));
    this._put([["line", "said", () => make("div", "", make("p", "quiet", clockTime(line.time),
      ", ", line.level), block("", line.text))]]);
  }

  /** While the call is under way: the time goes on. */
  tick() {
    if (this.entry?.isOpen) {
      const box = $("details-body").querySelector(".sentence");
      if (box) box.textContent = sentence(this.entry);
    }
  }

  _sides(call) {
    const request = call.messages.find((one) => one.place === "from client"
      && one.kind === "request");
    const answer = call.messages.findLast((one) => one.place === "to client"
      && one.kind === "response" && !asksForMore(one));
    return [["request", `${request?.n} ${this._stateOf(request)}`,
             () => this._side("Request", request, "It is not kept any more.")],
            ["answer", `${answer?.n} ${this._stateOf(answer)} ${call.isOpen} ${call.status}`,
             () => this._side("Answer", answer, noAnswer(call))]];
  }

  _side(word, message, without) {
    const heading = make("h3", "", word);
    if (!message) return make("section", "side", heading, make("p", "quiet", without));
    heading.append(make("small", "", ` ${bytes(message.size)}`));
    const whole = this._whole.get(message);
    const box = make("section", `side${message.failed ? " error" : ""}`, heading);
    if (message.cut && typeof whole !== "string") box.append(this._cut(message, whole));
    box.append(...contentsOf(message, typeof whole === "string" ? whole : undefined));
    return box;
  }

  /** What is said of a message that was cut; it is fetched if it is not too long for that. */
  _cut(message, whole) {
    if (message.run === "a file") {
      return make("p", "quiet", `The file has the first part of ${bytes(message.size)}.`);
    }
    if (whole instanceof Error) return outside(whole.message, "problem", "p");
    if (whole === undefined && message.size <= FETCHED) this._fetch(message);
    return make("p", "quiet", `The first part of ${bytes(message.size)}. `,
                message.size > FETCHED ? button("Show all", () => this._fetch(message)) : "");
  }

  async _fetch(message) {
    if (this._whole.has(message)) return;
    this._whole.set(message, null);
    try {
      const response = await ask(`live/whole/${encodeURIComponent(message.run)}/${message.n}`);
      const text = await response.text();
      this._whole.set(message, response.ok ? text : new Error(text.trim()));
      if (response.ok) message.whole = text;  // so that the filters search it
      for (const one of [message, message.belongs].filter(Boolean)) one.version += 1;
    } catch (problem) {
      this._whole.set(message, problem);
    }
    this.draw();
  }

  /** What was cut, if it has been fetched; else as much of the text as there is. */
  textOf(message) {
    const whole = this._whole.get(message);
    return typeof whole === "string" ? whole : message.text;
  }

  _stateOf(message) {
    const whole = message && this._whole.get(message);
    return whole === undefined ? "" : typeof whole === "string" ? "whole" : whole ? "none" : "";
  }

  _sent(message) {
    const where = message.process ?? message.server;
    const said = this.textOf(message);
    const text = make("pre", "json", indented(shorten(said, SHOWN)));
    text.dir = "auto";
    return make("section", "", make("h3", "", `As sent, ${clockTime(message.time)} ${message.place} `,
      outside([nameOfClient(message), message.session].filter(Boolean).join(", ")),
      where ? ", " : "", outside(where ?? "")),
      message.cut && this._stateOf(message) !== "whole" ? this._cut(
        message, this._whole.get(message)) : "", text);
  }

  /** [[name, key, make()]]: a section stays the same element while its key does, so that a text
   * that somebody marks stays marked. */
  _put(wanted) {
    const body = $("details-body"), there = wanted.filter(([, key]) => key);
    const sections = there.map(([name, key, make_]) => {
      const found = this._sections.get(name);
      if (found?.key === key) return found.element;
      const element = make_();
      element.classList.add(`details-${name}`);
      if (found) found.element.replaceWith(element);
      this._sections.set(name, {key, element});
      return element;
    });
    for (const [name, {element}] of this._sections) {
      if (!there.some(([one]) => one === name)) {
        element.remove();
        this._sections.delete(name);
      }
    }
    sections.forEach((element, at) => {
      if (body.children[at] !== element) body.insertBefore(element, body.children[at] ?? null);
    });
  }
}

function summary(call) {
  const session = call.session && !call.session.startsWith("request ") ? `, ${call.session}` : "";
  return make("p", call.hasFailed ? "problem" : "", make("b", "", call.status), " · ",
              make("span", "sentence", sentence(call)), " · ",
              outside(`${nameOfClient(call)}${session}`), " → ",
              outside(shorten(call.servers.join(", ") || "the router itself", 200)));
}

/** How long it took, and whose time that was. */
export function sentence(call) {
  if (call.asked === null) return "The beginning of this call is not kept any more.";
  if (call.isOpen) return `This call has no answer yet, after ${duration(call.took)}.`;
  if (call.lost !== null) return `No answer was seen: ${call.lost}.`;
  if (call.isCancelled) return `The client took this call back after ${duration(call.took)}.`;
  const parts = [["until the server was ready for it", call.spent.start],
                 ["at the server", call.spent.server], ["at the client", call.spent.client],
                 ["in the router", call.spent.router]].filter(([, spent]) => spent > 0);
  return `Answered after ${duration(call.took)}: ${
    parts.map(([where, spent]) => `${duration(spent)} ${where}`).join(", ")}.`;
}

function noAnswer(call) {
  return call.isOpen ? "There is none yet." : call.isCancelled ? "The client took the call back."
    : call.lost !== null ? `None was seen: ${call.lost}.` : "It is not kept any more.";
}

/** What the client was asked within the call, and what it said. */
function questions(messages) {
  const found = [];
  for (const message of messages) {
    const content = contentOf(message);
    if (message.place === "to client" && message.kind === "request") {
      const answer = messages.find((one) => one.place === "from client" && one.kind === "response"
        && JSON.stringify(one.id) === JSON.stringify(message.id));
      found.push(question(message.method, content?.params, answer && (
        contentOf(answer)?.result ?? contentOf(answer)?.error),
        answer && answer.time - message.time));
    } else if (asksForMore(message)) {
      const back = messages.find((one) => one.place === "from client" && one.kind === "request"
        && one.n > message.n);
      const answers = back && contentOf(back)?.params?.inputResponses;
      for (const [key, one] of Object.entries(content?.result?.inputRequests ?? {})) {
        found.push(question(one?.method, one?.params, answers?.[key],
                            back && back.time - message.time));
      }
    }
  }
  return make("section", "", make("h3", "", "Asked of the client"), ...found);
}

function question(method, params, answer, seconds) {
  const last = Array.isArray(params?.messages) ? params.messages.at(-1) : null;
  const text = params?.message ?? last?.content?.text ?? "";
  return make("div", "question", make("p", "", outside(shorten(wordOf(method, "?"), 100), "method"), " ",
    outside(shorten(typeof text === "string" ? text : "", 1000))),
    answer === undefined ? make("p", "quiet", "has no answer yet")
      : make("div", "part", make("p", "", `answered after ${duration(seconds)}:`),
             make("pre", "", visible(shorten(written(answer), 20_000), "\n"))));
}
