// The last minute in two rows of bars: calls answered in each second, and how long the middle one
// of them took. The router counts them, also those that were too many to be shown; it tells once a
// second while that changes.

import {clockTime, milliseconds} from "./text.js";

const SECONDS = 60;
const WIDTH = 240, HEIGHT = 22;  // of one row
const SVG = "http://www.w3.org/2000/svg";

export class Chart {
  constructor(figure, text) {
    [this._text, this._since, this._told] = [text, 0, null];
    const svg = element("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT * 2 + 4}`, role: "img",
                                "aria-labelledby": text.id});
    this._rows = [element("g", {class: "rate"}), element("g", {class: "latency"})];
    svg.append(...this._rows, element("line", {
      x1: 0, x2: WIDTH, y1: HEIGHT + 0.5, y2: HEIGHT + 0.5, class: "axis"}));
    figure.prepend(svg);
  }

  /** Nothing is counted from before that time. */
  begin(since) {
    this._since = since;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._tell(), Math.max(0, this._left()) + 100);
  }

  /** Milliseconds until a whole minute is counted. */
  _left() {
    return (this._since + SECONDS) * 1000 - Date.now();
  }

  /** `now` and the seconds by a clock of the router, not by that on the wall. */
  draw(told) {
    const {now, seconds} = this._told = told;
    const bars = seconds.map(([second, rate, took]) => [second - now + SECONDS - 1, rate, took]);
    const most = Math.max(...bars.map(([, rate]) => rate));
    const slowest = Math.max(...bars.map(([, , took]) => took));
    this._rows[0].replaceChildren(...bars.map(([at, rate]) => bar(at, rate / most, HEIGHT)));
    this._rows[1].replaceChildren(...bars.map(
      ([at, , took]) => bar(at, took / slowest, HEIGHT * 2 + 4)));
    this._most = most;
    this._tell();
  }

  _tell() {
    if (!this._told) return;
    const {answered, middle, longest} = this._told, isWhole = this._left() <= 0;
    const when = isWhole ? "last minute" : `since ${clockTime(this._since).slice(0, 8)}`;
    this._text.textContent = answered === 0
      ? `no calls ${isWhole ? "in the last minute" : when}`
      : `${when}: ${answered.toLocaleString("en")} ${answered === 1 ? "call" : "calls"}, at most ${
        this._most} a second; median latency ${milliseconds(middle)}, longest ${milliseconds(longest)}`;
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
