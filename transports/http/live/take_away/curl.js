// A client's request as a command for a shell. It is asked by revision 2026-07-28, in which a
// request needs no session before it, so that the command works as it stands.

import {parse} from "../text.js";

const REVISION = "2026-07-28";
const META = "io.modelcontextprotocol/";
// The methods that are the same in that revision, and what the header Mcp-Name repeats.
const NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
               "tools/list": null, "prompts/list": null, "resources/list": null,
               "resources/templates/list": null, "completion/complete": null,
               "server/discover": null};

/** Whether there is such a command for this message. */
export function hasCurl(message) {
  return message?.place === "from client" && message.kind === "request"
    && message.method in NAMED;
}

/** `text` is the request, which goes to this URL; `needsToken`, whether the router wants a token,
 * which is not shown. Throws an Error if the request was cut off. */
export function curl(text, url, needsToken) {
  const {id, method, params = {}} = parse(text);
  const {_meta, ...rest} = params;
  const isModern = _meta && `${META}protocolVersion` in _meta;
  const body = {jsonrpc: "2.0", id, method, params: {...rest, _meta: isModern ? _meta : {
    [`${META}protocolVersion`]: REVISION, [`${META}clientInfo`]: {name: "curl", version: "1"},
    [`${META}clientCapabilities`]: {}}}};
  const name = NAMED[method] && params[NAMED[method]];
  const headers = ["Content-Type: application/json", "Accept: application/json, text/event-stream",
                   `Mcp-Protocol-Version: ${body.params._meta[`${META}protocolVersion`]}`,
                   `Mcp-Method: ${method}`,
                   ...(typeof name === "string" ? [`Mcp-Name: ${inHeader(name)}`] : [])];
  const lines = [`curl -sN ${quoted(url)}`, ...headers.map((header) => `-H ${quoted(header)}`),
                 ...(needsToken ? ['-H "Authorization: Bearer $MCP_ROUTER_TOKEN"'] : []),
                 `--data-raw ${quoted(JSON.stringify(body))}`];
  return lines.join(" \\\n  ");
}

function inHeader(name) {
  if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(name)) return name;
  return `=?base64?${btoa(String.fromCharCode(...new TextEncoder().encode(name)))}?=`;
}

/** As one word for a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
