// What the page asks of the router: fetch, with the token if there is one, and a reader of event
// streams. EventSource is not used, because it cannot send an Authorization header.

export const OURS = "live page";  // what the page calls itself as a client

let token = null;  // in memory only: a reload asks for it again

export function useToken(text) {
  token = text;
}

export function hasToken() {
  return Boolean(token);
}

/** fetch() for a path relative to the page. */
export function ask(path, options = {}) {
  const headers = {...options.headers};
  if (token) {  // a header holds bytes: each as one character
    headers.Authorization = "Bearer " + String.fromCharCode(...new TextEncoder().encode(token));
  }
  return fetch(path, {...options, headers, cache: "no-store", credentials: "omit"}).catch(unreachable);
}

/** Each browser has words of its own for it. */
function unreachable(problem) {
  throw problem instanceof TypeError ? new Error("the router cannot be reached") : problem;
}

/** The events of a response, as {event, data}. Leaving the loop closes the connection. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let line = [], event = "message", data = [];  // a line in pieces: it may have many megabytes
  try {
    for (;;) {
      const {value, done} = await reader.read().catch(unreachable);
      if (done) return;
      const pieces = value.split("\n");
      for (const piece of pieces.slice(0, -1)) {
        const text = [...line, piece].join("").replace(/\r$/, "");
        line = [];
        if (text === "") {
          if (data.length) yield {event, data: data.join("\n")};
          [event, data] = ["message", []];
        } else if (text.startsWith("event:")) {
          event = text.slice(6).trim();
        } else if (text.startsWith("data:")) {
          data.push(text.slice(5).replace(/^ /, ""));
        }
      }
      line.push(pieces.at(-1));
    }
  } finally {
    reader.cancel().catch(() => {});  // it has broken already
  }
}
