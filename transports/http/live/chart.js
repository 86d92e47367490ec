// The last minute in two rows of bars: calls answered in each second, and how long the middle one
// of them took. It draws once a second while that minute holds a call, and else not at all.

import {milliseconds} from "./text.js";

const SECONDS = 60, ASKED = 1000;
const WIDTH = 240, HEIGHT = 22;  // of one row
const SVG = "http://www.w3.org/2000/svg";

export class Chart {
  constructor(figure, text) {
    this._text = text;
    this._asked = new Map();    // call → when its client asked; bounded, oldest first
    this._seconds = new Map();  // second → how long each call took that was answered in it
    this._timer = null;
    const svg = element("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT * 2 + 4}`, role: "img",
                                "aria-labelledby": text.id});
    this._rows = [element("g", {class: "rate"}), element("g", {class: "latency"})];
    svg.append(...this._rows, element("line", {
      x1: 0, x2: WIDTH, y1: HEIGHT + 0.5, y2: HEIGHT + 0.5, class: "axis"}));
    figure.prepend(svg);
  }

  add(messages) {
    for (const message of messages) {
      if (message.call === null) continue;
      if (message.place === "from client" && message.kind === "request") {
        this._asked.set(message.call, message.time);
        if (this._asked.size > ASKED) this._asked.delete(this._asked.keys().next().value);
      } else if (message.place === "to client" && message.kind === "response"
                 && this._asked.has(message.call)) {
        const second = Math.floor(message.time);
        if (!this._seconds.has(second)) this._seconds.set(second, []);
        this._seconds.get(second).push(message.time - this._asked.get(message.call));
        this._asked.delete(message.call);
      }
    }
    if (this._seconds.size && this._timer === null) this._draw();
  }

  _draw() {
    const now = Math.floor(Date.now() / 1000);
    for (const second of this._seconds.keys()) {
      if (second <= now - SECONDS) this._seconds.delete(second);
    }
    const bars = [];
    for (const [second, took] of this._seconds) {
      bars.push([second - now + SECONDS - 1, took.length, took.sort((a, b) => a - b)[took.length >> 1]]);
    }
    const most = Math.max(...bars.map(([, rate]) => rate)), all = [...this._seconds.values()].flat();
    const slowest = Math.max(...bars.map(([, , middle]) => middle));
    this._rows[0].replaceChildren(...bars.map(([at, rate]) => bar(at, rate / most, HEIGHT)));
    this._rows[1].replaceChildren(...bars.map(
      ([at, , middle]) => bar(at, middle / slowest, HEIGHT * 2 + 4)));
    const middle = all.sort((a, b) => a - b)[all.length >> 1];
    this._text.textContent = all.length === 0 ? "no calls in the last minute"
      : `last minute: ${all.length} ${all.length === 1 ? "call" : "calls"}, at most ${most} a `
        + `second; latency ${milliseconds(middle)}, at most ${milliseconds(all.at(-1))}`;
    this._timer = this._seconds.size ? setTimeout(() => this._draw(), 1000) : null;
  }
}

/** A bar at one of the sixty seconds, as high as this part of a row. */
function bar(at, part, bottom) {
  const height = Math.max(1.5, part * HEIGHT);
  return element("rect", {x: at * (WIDTH / SECONDS), width: WIDTH / SECONDS - 1,
                          y: bottom - height, height});
}

function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
