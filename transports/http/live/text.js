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

/** JSON text on many lines. It is not parsed, so that it may be cut off, and so that every number
 * is shown as it was sent: JSON.parse changes those with more than 15 digits. */
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
      result += token === ":" ? ": " : visible(token);
    }
  }
  return result;
}

/** What a message says, as an object; null if it was cut off. */
export function contentOf(message) {
  if (!read.has(message)) {
    let content = null;
    try {
      content = JSON.parse(message.text);
    } catch {
      // It was cut off: its text is shown, and what the router told of it.
    }
    read.set(message, content);
  }
  return read.get(message);
}

const read = new WeakMap();

export function milliseconds(seconds) {
  const number = seconds * 1000;
  return `${number < 10 ? number.toFixed(2) : number < 1000 ? number.toFixed(1)
    : Math.round(number).toLocaleString("en")} ms`;
}

export function bytes(size) {
  return size < 1024 ? `${size} B` : size < 2 ** 20 ? `${(size / 1024).toFixed(1)} KB`
    : `${(size / 2 ** 20).toFixed(1)} MB`;
}

export function clockTime(seconds) {
  const date = new Date(seconds * 1000);
  return date.toLocaleTimeString("en-GB") + "." + String(date.getMilliseconds()).padStart(3, "0");
}
