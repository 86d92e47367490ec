// One call as a ladder: every message that belongs to it, from above to below, between three
// lines: the client, the router, the servers. An id is only known between two neighbours, so the
// ids left and right of the router are marked in two colours: that is what routing changes.

import {bytes, contentOf, make, milliseconds, outside, shorten, shortName} from "./text.js";

const MOST_STEPS = 200;  // a call can have any number of progress messages
const TO_THE_RIGHT = new Set(["from client", "to server"]);

/** An element with the ladder of these messages; choose(message) when one is chosen. */
export function ladder(messages, chosen, choose) {
  const servers = [...new Set(messages.map((message) => message.server).filter(Boolean))];
  const session = messages.find((message) => message.session)?.session;
  const steps = make("ol", "ladder", make("li", "lifelines",
    make("span", "time", "time"),
    make("span", "", "client ", outside(shortName(session))), make("span", "", "router"),
    make("span", "", "server ", outside(shorten(servers.join(", "), 80)))));
  messages.forEach((message, at) => {
    if (at >= MOST_STEPS / 2 && at < messages.length - MOST_STEPS / 2) return;
    steps.append(step(message, messages[0], messages[at - 1], servers.length > 1));
    const box = steps.lastChild.firstChild;
    box.setAttribute("aria-current", message === chosen);
    box.addEventListener("click", () => choose(message));
  });
  const left = messages.length - MOST_STEPS;
  return make("div", "", steps, make("p", "quiet", summary(messages)
    + (left > 0 ? ` ${left} messages in its middle are not drawn.` : "")));
}

function step(message, first, previous, nameServer) {
  const atServer = message.place.endsWith("server");
  const label = make("span", "label", ...description(message), " ", ...marks(message));
  if (atServer && nameServer) label.append(" ", outside(message.server, "server"));
  const arrow = make("span", `arrow ${TO_THE_RIGHT.has(message.place) ? "right" : "left"}`);
  const hop = make("span", `hop ${message.kind}${isError(message) ? " error" : ""}`, label, arrow);
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
  const content = contentOf(message);
  const method = outside(message.method ?? "?", "method");
  if (message.kind !== "response") {
    const name = content?.params?.name ?? content?.params?.uri;
    return typeof name === "string" ? [method, " ", outside(shorten(name, 100), "name")]
      : [method];
  }
  const word = make("span", "kind", isError(message) ? "error" : "answer");
  return message.method ? [word, " to ", method] : [word];
}

export function isError(message) {
  const content = contentOf(message);
  return Boolean(content?.error || content?.result?.isError);
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

function summary(messages) {
  const asked = messages.find((one) => one.place === "from client" && one.kind === "request");
  if (!asked) {
    return messages[0].session === null ? "The router asked this on its own behalf."
      : "The beginning of this call is not kept any more.";
  }
  const answered = messages.findLast((one) => one.place === "to client" && one.kind === "response");
  const cancelled = messages.find(
    (one) => one.place === "from client" && one.method === "notifications/cancelled");
  if (!answered && cancelled) {
    return `The client took this call back after ${milliseconds(cancelled.time - asked.time)}.`;
  }
  if (!answered) return "This call has no answer yet.";
  const total = answered.time - asked.time;
  const there = messages.filter((one) => one.place === "to server" && one.kind === "request");
  const back = messages.filter((one) => one.place === "from server" && one.kind === "response");
  if (there.length !== 1 || back.length !== 1) return `Answered after ${milliseconds(total)}.`;
  const atServer = back[0].time - there[0].time;
  return `Answered after ${milliseconds(total)}: ${milliseconds(atServer)} at the server, `
    + `${milliseconds(total - atServer)} in the router.`;
}
