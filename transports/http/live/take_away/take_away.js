// What can be taken away: a message as JSON, a request as curl, lines of a trace; and a trace that
// is opened here.

import {curl, hasCurl} from "./curl.js";
import {readTrace, traceLine} from "./trace_file.js";
import {button, make, outside} from "../text.js";

const DONE = 1500;  // milliseconds for which a button says that it has copied

/** The buttons for what is open: a call's messages, of which one may be chosen. textOf(message) is
 * a promise of its text; url() is where it was asked; `needsToken`, whether the router wants one. */
export function copies(messages, chosen, textOf, url, needsToken) {
  const request = messages.find((one) => one.place === "from client" && one.kind === "request");
  const answer = messages.findLast((one) => one.place === "to client" && one.kind === "response");
  const kinds = [["request", request, textOf], ["answer", answer, textOf],
                 ["message", [request, answer].includes(chosen) ? null : chosen, textOf],
                 ["curl", hasCurl(request) ? request : null,
                  async (one) => curl(await textOf(one), url(), needsToken)]];
  return make("span", "copies", "copy ", ...kinds.filter(([, message]) => message).map(
    ([name, message, words]) => copier(name, () => words(message))),
    copier("trace", () => messages.map((one) => `${traceLine(one)}\n`).join("")));
}

function copier(name, words) {
  const element = button(name, async () => {
    try {
      element.textContent = await copy(await words()) ? "copied" : "not copied";
    } catch {
      element.textContent = "not kept whole";
    }
    setTimeout(() => {
      element.textContent = name;
    }, DONE);
  });
  element.setAttribute("aria-label", `Copy: ${name}`);
  return element;
}

/** False if the browser did not let us. Away from this machine, and without TLS, it has only the
 * older way. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea"), before = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    before?.focus();
    return isDone;
  }
}

/** Save these messages as a file of --trace. */
export function save(messages) {
  if (!messages.length) return;
  const link = make("a"), lines = messages.map((message) => `${traceLine(message)}\n`);
  link.href = URL.createObjectURL(new Blob(lines, {type: "application/jsonl"}));
  link.download = `mcp-router-${new Date().toISOString().slice(0, 19).replace(/\D/g, "-")}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A button that opens a trace, which may also be dropped on the page. show(name, trace) shows it,
 * see readTrace; tell(problem) tells why that could not be. */
export function opener(show, tell) {
  const input = make("input");
  Object.assign(input, {type: "file", accept: ".jsonl,.json,.log,.1,text/plain", hidden: true,
                        id: "trace-file"});
  const element = button("Open a trace", () => input.click());
  async function read(file) {
    if (!file) return;
    try {
      show(file.name, await readTrace(file));
    } catch (problem) {
      tell(outside(problem.message, "problem"));
    }
  }
  input.addEventListener("change", async () => {
    await read(input.files[0]);
    input.value = "";   // so that the same one can be chosen again
  });
  addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    read(file);
  });
  return [element, input];
}
