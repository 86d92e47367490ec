// One call: a request of a client, and all that belongs to it. It is told its messages one after
// the other, and knows at each moment who has to do something next. So the time that a person takes
// to answer a question is not taken for the server's.

import {contentOf, parse, plain, shorten} from "../text.js";

const LONGEST_LINE = 300;  // characters of the arguments, in a row
const READY = 0.005;  // seconds: what takes the router longer is a server that is not ready
const SLOW = 1;  // seconds, without those that the client took

export class Call {
  constructor(message) {
    this.isCall = true;
    this.version = 0;  // changes with what a row shows
    this.messages = [];  // those that are kept
    this.time = message.time;
    this.heard = performance.now();
    this.asked = null;  // when its client asked
    this.client = this.session = this.method = this.name = null;
    this.servers = [];
    this.nameAtServer = null;
    this.argumentsLine = "";
    this.size = null;  // of the answer
    this.progress = null;
    this.end = null;  // when it was answered, or was over in another way
    this.error = null;  // the code of the answer, "tool" if the tool itself says that it failed
    this.lost = null;  // why no answer will be seen
    this.isCancelled = false;
    this.questions = 0;
    this.spent = {start: 0, client: 0, router: 0, server: 0};  // seconds
    this._atServer = new Set();  // requests that a server has not answered yet
    this._open = new Set();  // questions of servers that have no answer yet
    this._atClient = new Set();  // questions that the client has not answered yet
    this._last = message.time;
    this._wasSent = false;  // to a server
  }

  get isOpen() {
    return this.asked !== null && this.end === null;
  }

  /** Whether it is made to stay open: a client hears through it what has changed. */
  get lasts() {
    return this.method === "subscriptions/listen";
  }

  /** Who has to do something next. */
  get holder() {
    return this._atClient.size ? "client" : this._open.size ? "router"
      : this._atServer.size ? "server" : "router";
  }

  /** Seconds, until now if it is under way. */
  get took() {
    return (this.end ?? Math.max(this._last, Date.now() / 1000)) - this.asked;
  }

  get isSlow() {
    return !this.isOpen && !this.lasts && this.lost === null && this.took - this.spent.client >= SLOW;
  }

  get hasFailed() {
    return this.error !== null || this.lost !== null;
  }

  /** A word or two. */
  get status() {
    if (this.lost !== null) return "no answer";
    if (this.isOpen && this.lasts) return "listens";
    if (this.isOpen) return this._atClient.size ? "asks the client" : "under way";
    if (this.error === "tool") return "failed";
    if (this.error !== null) return `error ${this.error}`;
    return this.isCancelled ? "cancelled" : "ok";
  }

  /** What is called, as its server names it if there is one only. */
  get title() {
    const [name, method] = this.words;
    return [method, name].filter(Boolean).join(" ");
  }

  /** [its name or null, its method]; a tool's name needs none. */
  get words() {
    const name = (this.servers.length === 1 ? this.nameAtServer : null) ?? this.name;
    return [name, this.method === "tools/call" && name ? "" : this.method];
  }

  add(message) {
    this.spent[this.holder] += message.time - this._last;
    this._last = message.time;
    this.heard = performance.now();
    this.version += 1;
    this.messages.push(message);
    this.client ??= message.client;
    this.session ??= message.session;
    if (message.server && !this.servers.includes(message.server)) {
      this.servers.push(message.server);
    }
    const key = `${message.process} ${JSON.stringify(message.id)}`;
    HEARD[`${message.place} ${message.kind}`]?.call(this, message, key);
    if (message.method === "notifications/cancelled" && message.place !== "from server"
        && this.isOpen && !this._open.size) {
      this.isCancelled = true;
      this._over(message);
    }
  }

  /** Its oldest message is kept no more. */
  drop() {
    this.messages.shift();
  }

  /** Nothing more will be seen of it. */
  lose(why) {
    if (!this.isOpen) return;
    this.lost = why;
    this.end = this._last;
    this.version += 1;
  }

  _over(message) {
    this.end = message.time;
    this._atServer.clear();
    this._open.clear();
    this._atClient.clear();
  }
}

/** Place and kind of a message → what that means for its call. */
const HEARD = {
  "from client request"(message) {
    this._atClient.delete("answers");
    [this.end, this.lost, this.isCancelled] = [null, null, false];
    if (this.asked !== null) return;  // it comes back with answers
    this.asked = message.time;
    this.method = message.method;
    this.name = message.name;
    this.argumentsLine = argumentsLine(message);
  },
  "to server request"(message, key) {
    this._atServer.add(key);
    if (message.method !== this.method) return;
    this.nameAtServer = message.name;
    if (!this._wasSent && this.spent.router > READY) {  // it had to start first, or was in use
      [this.spent.start, this.spent.router] = [this.spent.router, 0];
    }
    this._wasSent = true;
  },
  "from server response"(message, key) {
    this._atServer.delete(key);
  },
  "from server request"(message, key) {
    this._open.add(key);
    this.questions += 1;
  },
  "to server response"(message, key) {
    this._open.delete(key);
  },
  "to client request"(message, key) {
    this._atClient.add(key);
  },
  "from client response"(message, key) {
    this._atClient.delete(key);
  },
  "to client notification"(message) {
    if (message.method !== "notifications/progress") return;
    this.progress = contentOf(message)?.params ?? this.progress;
  },
  "to client response"(message) {
    if (asksForMore(message)) {
      this._atClient.add("answers");
      return;
    }
    [this.lost, this.isCancelled] = [null, false];
    this.size = message.size;
    if (message.failed) this.error = codeOf(message);
    this._over(message);
  },
};

/** Whether a modern client is asked to come back with answers. */
export function asksForMore(message) {
  return message.place === "to client" && message.kind === "response"
    && message.text.includes('"resultType":"input_required"')
    && (contentOf(message)?.result?.resultType === "input_required" || message.cut);
}

function codeOf(message) {
  const found = contentOf(message)?.error;
  if (found) return JSON.stringify(found.code) ?? "";
  const code = message.cut && /"error":\{"code":(-?\d+)/.exec(message.text);
  return code ? code[1] : "tool";
}

/** What is asked, on one line. */
function argumentsLine(message) {
  let text = "";
  try {
    const {_meta, name, uri, ...rest} = parse(message.text).params ?? {};
    const said = rest.arguments ?? rest;
    text = Object.entries(said).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join(", ");
  } catch {
    text = message.text.split('"arguments":{')[1] ?? message.text;  // it was cut
  }
  return shorten(plain(text.slice(0, 4 * LONGEST_LINE)), LONGEST_LINE);
}
