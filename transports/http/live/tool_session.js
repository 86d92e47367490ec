// The smallest MCP client: one session over Streamable HTTP (2025-11-25, Transports), as any
// client of the router has one. So what is tried on the page appears in its messages too.

import {ask, events} from "./http.js";

const REVISION = "2025-11-25";

/** The router has ended the session, or was restarted. */
class SessionEnded extends Error {}

export class ToolSession {
  constructor(path) {
    this._path = path;
    this._ids = 0;
    this._headers = {"Content-Type": "application/json",
                     "Accept": "application/json, text/event-stream"};
  }

  async begin() {
    await this.request("initialize", {protocolVersion: REVISION, capabilities: {},
                                      clientInfo: {name: "live page", version: "1"}});
    await this.say("notifications/initialized");
  }

  async tools() {
    const found = [];
    let cursor;
    do {
      const page = await this.request("tools/list", cursor ? {cursor} : {});
      found.push(...page.tools);
      cursor = page.nextCursor;
    } while (cursor && found.length < 2000);
    return found;
  }

  /** The result of a request. Throws an Error with the words of the one that came instead. */
  async request(method, params, onProgress = () => {}) {
    try {
      return await this._request(method, params, onProgress);
    } catch (problem) {
      if (!(problem instanceof SessionEnded)) throw problem;
      await this.begin();
      return this._request(method, params, onProgress);
    }
  }

  async _request(method, params, onProgress) {
    this._ids += 1;
    const id = this._ids;
    const response = await this._post({id, method, params});
    for await (const message of messagesOf(response)) {
      if (message.method === "notifications/progress") onProgress(message.params);
      if (message.id !== id || message.method) continue;
      if (message.error) throw new Error(message.error.message);
      this._headers["Mcp-Session-Id"] ??= response.headers.get("Mcp-Session-Id");
      this._headers["Mcp-Protocol-Version"] ??= message.result.protocolVersion;
      return message.result;
    }
    throw new Error("The connection broke before the answer came.");
  }

  /** Take back the request that was sent last. */
  cancel() {
    return this.say("notifications/cancelled", {requestId: this._ids, reason: "cancelled"});
  }

  async say(method, params) {
    await this._post({method, params});
  }

  /** keepalive: it is sent even where the page is being closed. */
  end() {
    if (!this._headers["Mcp-Session-Id"]) return;
    ask(this._path, {method: "DELETE", headers: this._headers, keepalive: true}).catch(() => {});
  }

  async _post(message) {
    const response = await ask(this._path, {
      method: "POST", headers: this._headers, body: JSON.stringify({jsonrpc: "2.0", ...message})});
    if (response.status === 404 && this._headers["Mcp-Session-Id"]) {
      delete this._headers["Mcp-Session-Id"];
      delete this._headers["Mcp-Protocol-Version"];
      throw new SessionEnded(await wordsOf(response));
    }
    if (!response.ok) throw new Error(await wordsOf(response));
    return response;
  }
}

async function* messagesOf(response) {
  if (response.headers.get("Content-Type").startsWith("application/json")) {
    yield await response.json();
    return;
  }
  for await (const {data} of events(response)) {
    if (data) yield JSON.parse(data);
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
