// What a server offers: its tools, prompts and resources, with what each costs a model that is told
// of it.

import {button, bytes, indented, make, outside, shorten} from "../text.js";

const BYTES_A_TOKEN = 4;    // about; models differ
const LONGEST = 20_000;     // characters of a schema or description
const HINTS = {readOnlyHint: ["only reads", "quiet"], destructiveHint: ["may destroy", "problem"],
               idempotentHint: ["safe to repeat", "quiet"],
               openWorldHint: ["reaches outside", "quiet"]};

/** What the annotations of a tool say, in words. They are the server's own word. */
export function hints(tool) {
  return Object.entries(HINTS).filter(([key]) => tool?.annotations?.[key] === true).map(
    ([key, [words, kind]]) => make("span", `hint ${kind}`, words));
}

/** The bytes of what a host tells its model of a tool, in each request. */
export function costOf({name, description, inputSchema}) {
  return new TextEncoder().encode(JSON.stringify({name, description, inputSchema})).length;
}

export function costInWords(size) {
  const tokens = size / BYTES_A_TOKEN, step = 10 ** Math.max(0, Math.floor(Math.log10(tokens || 1)) - 1);
  return `${bytes(size)}, about ${(Math.round(tokens / step) * step).toLocaleString("en")} tokens`;
}

/** The elements that show all of it; tryIt(kind, name) when one is to be tried. */
export function offersOf(lists, tryIt) {
  const found = [];
  const add = (kind, title, items, nameOf, more) => {
    if (!items.length) return;
    found.push(make("h3", "", `${items.length} ${title[items.length === 1 ? 0 : 1]}`),
               ...items.map((item) => offer(item, nameOf(item), more(item),
                                            () => tryIt(kind, nameOf(item)))));
  };
  const tools = lists.tools.map((tool) => [costOf(tool), tool]).sort(([one], [other]) => other - one);
  add("tools", ["tool", "tools"], tools.map(([, tool]) => tool), (tool) => String(tool.name),
      (tool) => [make("span", "size", bytes(costOf(tool))), ...hints(tool)]);
  add("prompts", ["prompt", "prompts"], lists.prompts, (prompt) => String(prompt.name), () => []);
  add("resources", ["resource", "resources"], lists.resources, (one) => String(one.uri),
      (one) => [outside(shorten(String(one.name ?? ""), 60), "quiet")]);
  add("templates", ["resource template", "resource templates"], lists.templates,
      (one) => String(one.uriTemplate), (one) => [outside(shorten(String(one.name ?? ""), 60), "quiet")]);
  return found;
}

function offer(item, name, more, act) {
  const element = make("details", "offer", make(
    "summary", "", outside(shorten(name, 200), "method"), " ", ...more));
  element.dataset.name = name;
  element.addEventListener("toggle", () => {  // there may be thousands, with long schemas
    if (element.open && element.children.length === 1) element.append(...inside(item, act));
  });
  return element;
}

function inside({name, uri, uriTemplate, description, inputSchema, outputSchema, ...rest}, act) {
  const parts = [typeof description === "string"
    ? outside(shorten(description, LONGEST), "about", "p") : "", button("Try it", act)];
  for (const [title, value] of [["Its arguments", inputSchema],
                                ["Its structured content", outputSchema], ["More", rest]]) {
    if (value && typeof value === "object" && Object.keys(value).length) {
      parts.push(make("h4", "", title), json(value));
    }
  }
  return parts;
}

function json(value) {
  const element = make("pre", "", indented(shorten(JSON.stringify(value), LONGEST)));
  element.dir = "auto";
  return element;
}
