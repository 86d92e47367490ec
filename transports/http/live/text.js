// How things get onto the page. What comes from outside (names, messages, errors) is hostile until
// shown otherwise: it enters as text, never as markup; in a <bdi>, so that text from right to left
// moves nothing around it; and with each character that has no picture written as an escape.

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with control characters as escapes; those in `except` stay. */
export function visible(text, except = "") {
  return String(text).replace(UNSEEN, (one) => except.includes(one) ? one
    : "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** A new element of a class; each child is an element or text. */
export function make(tag, kind, ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

/** An element for text from outside. */
export function outside(text, kind, tag = "bdi") {
  const element = make(tag, kind, visible(text));
  element.dir = "auto";
  return element;
}

/** Likewise, with its line breaks and tabs. */
export function lines(text, kind, tag) {
  const element = outside("", kind, tag);
  element.textContent = visible(text.replaceAll("\r\n", "\n"), "\n\t");
  return element;
}

/** A button that calls `act`. */
export function button(text, act) {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

export function shorten(text, length) {
  return text.length > length ? text.slice(0, length) + "…" : text;
}

/** A session's name, "session abc123", where there is no room for its first word. */
export function shortName(session) {
  return (session ?? "").replace(/^session /, "");
}

/** The value of JSON text. An integer that JavaScript would round is an object of its own, which
 * JSON.stringify writes as it was sent. */
export function parse(text) {
  return /\d{16}/.test(text) ? JSON.parse(text, (key, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) ? asSent(value, context) : value)
    : JSON.parse(text);
}

/** Likewise, with every number that would be written in another way, as 1.0; null if the text was
 * cut off. */
export function parseToShow(text) {
  try {
    return parseAsSent(text);
  } catch {
    return null;
  }
}

/** Likewise; throws a SyntaxError if it is no JSON. */
export function parseAsSent(text) {
  return /\d{16}|\d[.eE]/.test(text) ? JSON.parse(text, (key, value, context) =>
    typeof value === "number" && String(value) !== context?.source ? asSent(value, context)
      : value) : JSON.parse(text);
}

function asSent(value, context) {
  return context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

/** A value as JSON on many lines, of which about `most` characters are written. */
export function written(value, most = 200_000) {
  return indented(shorten(JSON.stringify(value), most));
}

/** JSON text on many lines. It is not parsed, so that it may be cut off. */
export function indented(text) {
  let depth = 0, result = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"?|[{[]\s*[}\]]|[{}[\],:]|[^\s{}[\],:"]+/gs)) {
    const newLine = () => "\n" + "  ".repeat(Math.min(depth, 40));
    if (token === "{" || token === "[") {
      depth += 1;
      result += token + newLine();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      result += newLine() + token;
    } else if (token === ",") {
      result += token + newLine();
    } else {
      result += token === ":" ? ": " : visible(plain(token));
    }
  }
  return result;
}

/** JSON text with letters in place of their escapes: \u00e9 is é. */
export function plain(text) {
  return text.includes("\\u") ? text.replace(/\\(?:u([0-9a-f]{4})|.)/gi, (escape, code) =>
    code && code.toLowerCase() >= "00a0" ? String.fromCharCode(parseInt(code, 16)) : escape) : text;
}

/** What a message says, as an object, to be shown; null if it was cut off. Of the last ones it is remembered. */
export function contentOf(message) {
  if (!read.has(message)) {
    read.set(message, parseToShow(message.text));
    if (read.size > MOST_READ) read.delete(read.keys().next().value);
  }
  return read.get(message);
}

const read = new Map(), MOST_READ = 100;  // an object takes several times the room of its text

export function milliseconds(seconds) {
  const number = seconds * 1000;
  return `${number < 10 ? number.toFixed(2) : number < 1000 ? number.toFixed(1)
    : Math.round(number).toLocaleString("en")} ms`;
}

export function bytes(size) {
  return size < 1024 ? `${size} B` : size < 2 ** 20 ? `${(size / 1024).toFixed(1)} KB`
    : `${(size / 2 ** 20).toFixed(1)} MB`;
}

/** How long, for a sentence: with as many digits as a person reads. */
export function duration(seconds) {
  return seconds < 10 ? milliseconds(seconds) : seconds < 100 ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

export function clockTime(seconds) {
  const date = new Date(seconds * 1000);
  return date.toLocaleTimeString("en-GB") + "." + String(date.getMilliseconds()).padStart(3, "0");
}
