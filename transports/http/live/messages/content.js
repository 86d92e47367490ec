// What a request asks and what an answer says, as what they are: text with its line breaks, images,
// errors, structured content. An image is shown from its data only, never from an address.

import {bytes, contentOf, indented, lines, make, outside, parseToShow, shorten, visible,
        written} from "../text.js";

const MOST = 100_000;  // characters of one text that are shown
const MOST_BLOCKS = 100;
const IMAGES = /^image\/(png|jpeg|gif|webp|bmp|avif|svg\+xml)$/;

/** Elements for what a message says. `whole`: its text, where that was cut and is known. */
export function contentsOf(message, whole) {
  const content = whole === undefined ? contentOf(message) : parseToShow(whole);
  if (!content) return [block("the first part of it", indented(message.text))];
  if (content.error) return errorOf(content.error);
  if (content.method) return paramsOf(content);
  return resultOf(content.result, message.failed);
}

function paramsOf({params}) {
  if (!params || typeof params !== "object" || Array.isArray(params)) {
    return params === undefined ? [] : [block("params", written(params))];
  }
  const {_meta, name, uri, arguments: given, ...rest} = params;
  const rows = [["name", name], ["uri", uri]].filter(([, value]) => value !== undefined)
    .map(([key, value]) => [key, typeof value === "string" ? value : written(value)]);
  return [...rows.map(([key, value]) => fact(key, value)), ...members(given), ...members(rest)];
}

/** A member of an object on its own each: a text as text, everything else as JSON. */
function members(value) {
  if (value === undefined) return [];
  if (!value || typeof value !== "object" || Array.isArray(value)) return [block("", written(value))];
  return Object.entries(value).slice(0, MOST_BLOCKS).map(([key, one]) => {
    const text = typeof one === "string" ? one : written(one);
    return text.includes("\n") || text.length > 100 ? block(key, text) : fact(key, text);
  });
}

function errorOf(error) {
  const {code, message, data} = error ?? {};
  const words = lines(typeof message === "string" ? message : written(message ?? null), "problem",
                      "p");
  return [make("p", "", "error ", make("code", "", visible(JSON.stringify(code) ?? "?"))), words,
          ...(data === undefined ? [] : [block("data", written(data))])];
}

function resultOf(result, hasFailed) {
  const found = hasFailed ? [make("p", "problem", "The tool says that it failed.")] : [];
  if (!result || typeof result !== "object") return [...found, block("", written(result ?? null))];
  const {content, contents, messages, structuredContent, isError, _meta, ...rest} = result;
  const parts = [...list(content).map((one) => part(one)), ...list(contents).map(resource),
                 ...list(messages).map((one) => part(one?.content, wordOf(one?.role, "")))];
  found.push(...parts.slice(0, MOST_BLOCKS));
  if (parts.length > MOST_BLOCKS) {
    found.push(make("p", "quiet", `${parts.length - MOST_BLOCKS} more parts are not drawn.`));
  }
  if (structuredContent !== undefined) {
    found.push(block("structured content", written(structuredContent)));
  }
  delete rest.resultType;
  if (Object.keys(rest).length || !found.length) found.push(block("", written(rest)));
  return found;
}

/** A name that should be text, and may be anything. */
export function wordOf(value, without) {
  return typeof value === "string" ? value : value === undefined ? without : JSON.stringify(value);
}

function list(value) {
  return Array.isArray(value) ? value : value === undefined ? [] : [value];
}

function part(one, role = "") {
  const type = one?.type;
  if (type === "text" && typeof one.text === "string") return text(role, one.text);
  if (type === "image") return image(role || "image", one.mimeType, one.data);
  if (type === "resource") return resource(one.resource);
  if (type === "audio") return fact(role || "audio", sizeOf(one.mimeType, one.data));
  return block([role, typeof type === "string" ? shorten(type, 40) : ""].filter(Boolean).join(" "),
               written(one ?? null));
}

function resource(one) {
  const uri = wordOf(one?.uri, "resource");
  if (typeof one?.text === "string") return text(uri, one.text);
  if (IMAGES.test(wordOf(one?.mimeType, ""))) return image(uri, one.mimeType, one.blob);
  return typeof one?.blob === "string" ? fact(uri, sizeOf(one.mimeType, one.blob))
    : block(uri, written(one ?? null));
}

/** JSON on one long line is hard to read: it gets its lines. */
function text(name, said) {
  const isJson = said.length > 60 && /^\s*[[{]/.test(said) && !said.trim().includes("\n");
  return isJson ? block([name, "JSON, with lines of the page's own"].filter(Boolean).join(": "),
                        indented(said.slice(0, 2 * MOST))) : block(name, said);
}

function image(name, type, data) {
  const isData = typeof data === "string" && /^[A-Za-z0-9+/=\s]*$/.test(data);
  if (typeof type !== "string" || !IMAGES.test(type) || !isData) {
    const why = isData || typeof data !== "string" ? "" : "; its data is not base64, so it is not drawn";
    return fact(name, `${sizeOf(type, data)}${why}`);
  }
  const picture = make("img");
  picture.alt = "the image that came";
  picture.src = `data:${type};base64,${data}`;
  return make("figure", "part", make("figcaption", "", outside(`${shorten(name, 200)}: `),
                                     sizeOf(type, data)), picture);
}

function sizeOf(type, data) {
  return visible(`${typeof type === "string" ? shorten(type, 100) : "?"}, ${
    typeof data === "string" ? bytes(Math.floor(data.length * 3 / 4)) : "no data"}`);
}

function fact(name, value) {
  return make("p", "part", outside(shorten(name, 200), "label"), " ",
              outside(shorten(value, MOST), "value"));
}

/** A text under its name, with its line breaks. */
export function block(name, said) {
  const shown = lines(shorten(said, MOST), "", "pre");
  const more = said.length > MOST ? make("p", "quiet", `Only the first ${
    MOST.toLocaleString("en")} characters are shown. Copy it to have all.`) : "";
  return make("div", "part", name ? outside(shorten(name, 200), "label") : "", shown, more);
}
