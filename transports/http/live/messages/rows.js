// What a row of the lists looks like: a call, a message, or a line of the log.

import {bytes, clockTime, make, milliseconds, outside, shorten} from "../text.js";
import {description, marks} from "./ladder.js";
import {nameOfClient} from "./filters.js";

const WAYS = {
  "from client": "client → router", "to server": "router → server",
  "from server": "server → router", "to client": "router → client",
};

export function row(entry) {
  return entry.isLine ? lineRow(entry) : entry.isCall ? callRow(entry) : messageRow(entry);
}

function callRow(call) {
  const kind = ["call", call.hasFailed && "error", call.isSlow && "slow", call.isOpen && "open",
                call.isCancelled && "cancelled"];
  const asked = outside(call.argumentsLine, "arguments");
  asked.title = call.argumentsLine;
  const what = outside(shorten(call.words.filter(Boolean).join(" "), 200), "tool");
  what.title = call.title;
  const element = make("li", `row ${kind.filter(Boolean).join(" ")}`,
    make("span", "time", clockTime(call.time)),
    outside(shorten(nameOfClient(call), 60), "client"),
    outside(shorten(call.servers.join(", "), 100), "server"),
    what, asked,
    make("span", "status", wordOf(call)), make("span", "took"),
    make("span", "size", call.size === null ? "" : bytes(call.size)));
  tick(element, call);
  return element;
}

function wordOf(call) {
  const {progress, total} = call.isOpen && call.progress ? call.progress : {};
  const done = progress === undefined ? "" : ` ${JSON.stringify(progress)}${
    total === undefined ? "" : `/${JSON.stringify(total)}`}`;
  return `${call.status}${call.isSlow ? ", slow" : ""}${shorten(done, 20)}`;
}

/** How long it has taken until now. */
export function tick(element, call) {
  const box = element.querySelector(".took");
  if (box) box.textContent = call.isOpen && call.lasts ? "" : milliseconds(call.took);
}

function messageRow(message) {
  const client = outside(shorten(nameOfClient(message), 60), "client");
  client.title = message.session ?? "";
  return make("li", `row message ${message.kind}${message.failed ? " error" : ""}`,
    make("span", "time", clockTime(message.time)), make("span", "way", WAYS[message.place] ?? ""),
    client, outside(message.server ?? "", "server"),
    make("span", "what", ...description(message)), make("span", "marks", ...marks(message)),
    make("span", "size", bytes(message.size)));
}

function lineRow(line) {
  const said = outside(line.text, "said");
  said.title = line.text;
  return make("li", `row line ${line.level}`, make("span", "time", clockTime(line.time)),
              outside(line.server ?? "", "server"), said);
}
