// One call as a ladder: every message that belongs to it, from above to below, between three
// lines: the client, the router, the servers. An id is only known between two neighbours, so the
// ids left and right of the router are marked in two colours: that is what routing changes.

import {bytes, contentOf, make, milliseconds, outside, shorten} from "../text.js";

const MOST_STEPS = 200;  // a call can have any number of progress messages
const TO_THE_RIGHT = new Set(["from client", "to server"]);

/** An element with the ladder of these messages; choose(message) when one is chosen. */
export function ladder(messages, chosen, choose, call) {
  const servers = [...new Set(messages.map((message) => message.server).filter(Boolean))];
  const client = call?.client ?? messages[0]?.client ?? messages[0]?.session ?? "";
  const steps = make("ol", "ladder", make("li", "lifelines",
    make("span", "time", "time"),
    make("span", "", "client ", outside(shorten(client, 60))), make("span", "", "router"),
    make("span", "", "server ", outside(shorten(servers.join(", "), 80)))));
  messages.forEach((message, at) => {
    if (at >= MOST_STEPS / 2 && at < messages.length - MOST_STEPS / 2) return;
    steps.append(step(message, messages[0], messages[at - 1], servers.length > 1));
    const box = steps.lastChild.firstChild;
    box.setAttribute("aria-current", message === chosen);
    box.addEventListener("click", () => choose(message));
  });
  const left = messages.length - MOST_STEPS;
  const asides = [messages[0]?.session === null && call ? "The router asked this on its own behalf."
    : "", left > 0 ? `${left} messages in its middle are not drawn.` : ""];
  return make("section", "", steps, make("p", "quiet", asides.join(" ")));
}

function step(message, first, previous, nameServer) {
  const atServer = message.place.endsWith("server");
  const label = make("span", "label", ...description(message), " ", ...marks(message));
  if (atServer && nameServer) label.append(" ", outside(message.server, "server"));
  const arrow = make("span", `arrow ${TO_THE_RIGHT.has(message.place) ? "right" : "left"}`);
  const hop = make("span", `hop ${message.kind}${message.failed ? " error" : ""}`, label, arrow);
  const time = make("span", "time", milliseconds(message.time - first.time));
  if (previous) time.append(make("small", "delta", `+${milliseconds(message.time - previous.time)}`));
  time.append(outside(message.thread, "thread", "small"));
  const empty = make("span", "hop");
  const box = make("button", "step", time, ...(atServer ? [empty, hop] : [hop, empty]));
  box.type = "button";
  box.title = bytes(message.size);
  return make("li", "", box);
}

/** What a message is, in a few words: elements for one line. */
export function description(message) {
  const method = outside(message.method ?? "?", "method");
  const name = message.name ? [" ", outside(shorten(message.name, 100), "name")] : [];
  if (message.kind === "notification") return [method];
  if (message.kind === "request") return [method, ...name];
  const word = make("span", "kind", message.failed ? "error" : "answer");
  return message.method ? [word, " to ", method, ...name] : [word];
}

/** The id and the progress token of a message, as they are on this side of the router. */
export function marks(message) {
  const side = message.place.endsWith("client") ? "client-side" : "server-side";
  const params = contentOf(message)?.params;
  const token = params?.progressToken ?? params?._meta?.progressToken;
  const id = message.id ?? (message.method === "notifications/cancelled" ? params?.requestId : null);
  const found = [];
  for (const [word, value] of [["id", id], ["token", token]]) {
    if (value !== null && value !== undefined) {
      found.push(outside(`${word} ${shorten(JSON.stringify(value), 60)}`, `mark ${side}`));
    }
  }
  return found;
}
