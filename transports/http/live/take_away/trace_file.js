// A file of --trace, line by line: written from what the page lists, and read to be shown on it. A
// file comes from outside, so each line is looked at before anything is made of it.

import {parse} from "../text.js";

const KEYS = ["n", "time", "place", "session", "client", "server", "process", "thread", "size",
              "cut", "id", "text", "kind", "failed", "call", "method", "name"];
const PLACES = new Set(["from client", "to client", "from server", "to server"]);
const KINDS = new Set(["request", "notification", "response"]);
const TEXTS = ["session", "client", "server", "process", "thread", "method", "name"];
const MOST = 5000;          // messages, the last ones
const RUN = 1e9;            // between the numbers of calls of two runs of a router
const LONGEST = 2 ** 20;    // characters of a line: the router writes far shorter ones

/** A message as --trace writes it, without the end of the line. */
export function traceLine(message) {
  const kept = message.original ?? message;
  return JSON.stringify(Object.fromEntries(
    KEYS.filter((key) => kept[key] !== undefined).map((key) => [key, kept[key]])));
}

/** {messages, lines, missed, left}: the last messages of a file, numbered from 1 on, what is to be
 * said between them, how many the router had missed, and how many came before. Throws an Error,
 * in words for a person, if it is no trace. */
export async function readTrace(file) {
  const found = {messages: [], lines: [], missed: 0, left: 0};
  let number = 0, at = 0, run = 0, last = 0, wrong = 0;
  for await (const line of linesOf(file)) {
    at += 1;
    const record = recordOf(line);
    if (record?.missed) {
      found.missed += record.missed;
    } else if (record) {
      if (record.n <= last) {
        run += 1;
        found.lines.push({n: run, time: record.time, server: null, level: "mark",
                          text: "The router was started again."});
      }
      last = record.n;
      number += 1;
      found.messages.push({...record, n: number, run: "a file", original: record,
                           call: record.call === null ? null : record.call + run * RUN});
      if (found.messages.length > 2 * MOST) found.messages.splice(0, MOST);
    } else if (line.trim()) {
      wrong += 1;
      if (wrong === at) throw new Error(`${file.name} is no file of --trace: its first line is none.`);
    }
  }
  if (!number) throw new Error(`${file.name} has no message in it.`);
  found.messages = found.messages.slice(-MOST);
  found.left = number - found.messages.length;
  return found;
}

/** What a line says, or null if it is no line of a trace. */
function recordOf(line) {
  let said = null;
  try {
    said = parse(line);
  } catch {
    return null;    // it was cut off, as the last line of a router that was killed
  }
  if (!said || typeof said !== "object") return null;
  if (Number.isSafeInteger(said.missed) && said.missed > 0) return {missed: said.missed};
  const isMessage = Number.isSafeInteger(said.n) && Number.isFinite(said.time)
    && PLACES.has(said.place) && KINDS.has(said.kind) && typeof said.text === "string";
  return isMessage ? {
    ...Object.fromEntries(TEXTS.map((key) => [
      key, typeof said[key] === "string" ? said[key] : null])),
    n: said.n, time: said.time, place: said.place, kind: said.kind, text: said.text,
    id: ["string", "number"].includes(typeof said.id) || said.id?.rawJSON ? said.id : null,
    call: Number.isSafeInteger(said.call) ? said.call : null,
    size: Number.isFinite(said.size) ? said.size : said.text.length, cut: said.cut === true,
    failed: said.failed === true, ...(said.failed === undefined ? foundIn(said.text) : {})} : null;
}

/** What older traces do not tell: whether an answer is an error, and what a request names. */
function foundIn(text) {
  try {
    const {error, result, params} = JSON.parse(text), name = params?.name ?? params?.uri;
    return {failed: error !== undefined || result?.isError === true,
            name: typeof name === "string" ? name : null};
  } catch {
    return {};  // it was cut
  }
}

async function* linesOf(file) {
  const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    if (rest.length > LONGEST) throw new Error(`${file.name} is no file of --trace.`);
    yield* lines;
  }
  if (rest) yield rest;
}
