// A small MCP client: one session over Streamable HTTP (2025-11-25, Transports), as any client of
// the router has one. So what is tried on the page appears in its messages too.

import {OURS, ask, events} from "../http.js";
import {parse} from "../text.js";

const REVISION = "2025-11-25";
const PAUSE = 1500;     // milliseconds between two tries to open the session's own stream
const LISTS = {tools: ["tools/list", "tools"], prompts: ["prompts/list", "prompts"],
               resources: ["resources/list", "resources"],
               templates: ["resources/templates/list", "resourceTemplates"]};
const MOST_LISTED = 2000;

/** The router has ended the session, or was restarted. */
class SessionEnded extends Error {}

/** The user took the request back. */
export class Cancelled extends Error {}

/** Where a server or group, or (null) all servers together, are reached. */
export function pathOf(name) {
  return name === null ? "mcp" : `mcp/${encodeURIComponent(name)}`;
}

export class Session {
  /** The one who uses it may be told:
   *   capabilities     what the client says that it can be asked
   *   asked(question)  a server asks something: a promise of {result} or {error}
   *   changed()        what the server lists has changed, or another session has begun for this */
  constructor(name, {capabilities = {}, asked, changed} = {}) {
    this._path = pathOf(name);
    this._capabilities = capabilities;
    [this._asked, this._changed] = [asked, changed];
    this._ids = 0;
    this._beginning = null;     // a promise while it begins
    this._isOver = false;       // whether end() was called
    this._stream = null;        // an AbortController while its own stream is open
    this._headers = {"Content-Type": "application/json",
                     "Accept": "application/json, text/event-stream"};
  }

  /** Begin it, or begin anew: once for all who need it now. */
  begin() {
    this._beginning ??= this._begin().finally(() => {
      this._beginning = null;
    });
    return this._beginning;
  }

  async _begin() {
    if (this._isOver) throw new Error("This session is over.");
    const said = await this._request("initialize", {
      protocolVersion: REVISION, capabilities: this._capabilities,
      clientInfo: {name: OURS, version: "1"}});
    this._offered = said.capabilities ?? {};
    if (!this._isOver) await this._post({method: "notifications/initialized"});
    if (this._isOver) this.end();   // before this it had nothing to end
    else if (this._changed) this._listen();
  }

  /** Nothing is asked before it has begun. */
  async _open() {
    if (this._beginning || !this._headers["Mcp-Session-Id"]) await this.begin();
  }

  /** {tools, prompts, resources, templates}: all that is offered. */
  async lists() {
    await this._open();
    const offered = this._offered, kinds = Object.keys(LISTS).filter(
      (kind) => offered[kind === "templates" ? "resources" : kind]);
    const lists = await Promise.allSettled(kinds.map((kind) => this._list(kind)));
    if (offered !== this._offered) return this.lists();     // it has begun anew
    const failed = lists.find(({reason}) => reason);    // what one list lacks, another may have
    if (failed && lists.every(({reason}) => reason)) throw failed.reason;
    return {tools: [], prompts: [], resources: [], templates: [],
            ...Object.fromEntries(kinds.map((kind, at) => [kind, lists[at].value ?? []]))};
  }

  async _list(kind) {
    const found = [], [method, key] = LISTS[kind];
    let cursor;
    do {
      const page = await this.request(method, cursor === undefined ? {} : {cursor});
      found.push(...(Array.isArray(page[key]) ? page[key] : []));
      cursor = page.nextCursor;
    } while (cursor && found.length < MOST_LISTED);
    return found.filter((item) => item && typeof (item.name ?? item.uri) === "string");
  }

  /** The result of a request. Throws an Error with the words of the one that came instead.
   * `progress(params)` hears of its progress, and begun(cancel) gets what takes it back. */
  async request(method, params, more) {
    await this._open();
    try {
      return await this._request(method, params, more);
    } catch (problem) {
      if (!(problem instanceof SessionEnded)) throw problem;
      await this._open();     // some hear of it when it has begun anew already
      return this._request(method, params, more);
    }
  }

  async _request(method, params, {progress: onProgress = () => {}, begun = () => {}} = {}) {
    const id = this._ids += 1;
    let isCancelled = false;
    const taken = new Promise((_resolve, reject) => {
      begun(() => {
        isCancelled = true;
        reject(new Cancelled());
        this._post({method: "notifications/cancelled", params: {
          requestId: id, reason: "cancelled"}}).catch(() => {});
      });
    });
    const answered = this._answer(id, {id, method, params}, onProgress).catch((problem) => {
      throw isCancelled ? new Cancelled() : problem;
    });
    return Promise.race([taken, answered]);
  }

  async _answer(id, message, onProgress) {
    const response = await this._post(message);
    for await (const heard of messagesOf(response)) {
      if (heard.method === "notifications/progress") onProgress(heard.params);
      if (heard.method || heard.id !== id) {
        this._hear(heard);
        continue;
      }
      if (heard.error) throw Object.assign(new Error(heard.error.message), {error: heard.error});
      if (message.method === "initialize") {
        this._headers["Mcp-Session-Id"] = response.headers.get("Mcp-Session-Id");
        this._headers["Mcp-Protocol-Version"] = heard.result.protocolVersion;
      }
      return heard.result;
    }
    throw new Error("The connection broke before the answer came.");
  }

  async say(method, params) {
    await this._open();
    await this._post({method, params});
  }

  /** keepalive: it is sent even where the page is being closed. */
  end() {
    this._isOver = true;
    this._stream?.abort();
    this._stream = null;
    const id = this._headers["Mcp-Session-Id"];
    if (!id) return;
    ask(this._path, {method: "DELETE", headers: this._headers, keepalive: true}).catch(() => {});
    this._forget(id);
  }

  // -- what comes from the server of its own accord

  /** Read the session's own stream, until the session is over. */
  async _listen() {
    this._stream?.abort();
    const stream = this._stream = new AbortController();
    while (!stream.signal.aborted) {
      try {
        await this._open();
        const id = this._headers["Mcp-Session-Id"], response = await ask(this._path, {
          headers: {...this._headers, Accept: "text/event-stream"}, signal: stream.signal});
        if ([401, 405].includes(response.status)) return;
        if (response.status === 404) {
          this._forget(id);
          await this._open();     // unless a request has found the same; then another loop listens
          this._changed();
        } else if (response.ok) {
          for await (const heard of messagesOf(response)) this._hear(heard);
        }
      } catch {
        // The router is away, or the stream was closed by us.
      }
      await new Promise((resume) => setTimeout(resume, PAUSE));
    }
  }

  async _hear({id, method, params}) {
    if (method?.endsWith("/list_changed")) this._changed?.();
    if (method === "notifications/cancelled") this._takenBack?.get(params?.requestId)?.();
    if (!method || id === undefined || id === null) return;
    const back = new Promise((resume) => {
      (this._takenBack ??= new Map()).set(id, () => resume(null));
    });
    const said = method === "ping" ? {result: {}} : await Promise.race([back, this._asked
      ? this._asked({method, params: params ?? {}, back})
      : {error: {code: -32601, message: "This page was not to be asked."}}]);
    this._takenBack.delete(id);
    if (said) await this._post({id, ...said}).catch(() => {});  // then its call has ended
  }

  async _post(message) {
    const id = this._headers["Mcp-Session-Id"], response = await ask(this._path, {
      method: "POST", headers: this._headers, body: JSON.stringify({jsonrpc: "2.0", ...message})});
    if (response.status === 404 && id) {
      this._forget(id);
      throw new SessionEnded(await wordsOf(response));
    }
    if (!response.ok) throw new Error(await wordsOf(response));
    return response;
  }

  /** The router does not know this session any more. */
  _forget(id) {
    if (this._headers["Mcp-Session-Id"] !== id) return;     // it has begun anew meanwhile
    delete this._headers["Mcp-Session-Id"];
    delete this._headers["Mcp-Protocol-Version"];
  }
}

async function* messagesOf(response) {
  if (response.headers.get("Content-Type").startsWith("application/json")) {
    yield parse(await response.text());
    return;
  }
  for await (const {data} of events(response)) {
    if (data) yield parse(data);
  }
}

/** What an HTTP error says: the body is text, or a JSON-RPC error. */
async function wordsOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text || `HTTP status ${response.status}`;
  }
}
