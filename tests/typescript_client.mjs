// The official TypeScript SDK as a client: node typescript_client.mjs URL. Prints what it saw.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const base = process.argv[2];

function newClient() {
  const client = new Client({ name: "typescript", version: "1" },
    { capabilities: { sampling: {}, roots: {} } });
  client.rooted = 0;
  client.setRequestHandler(CreateMessageRequestSchema, async () =>
    ({ role: "assistant", model: "m", content: { type: "text", text: "sampled!" } }));
  client.setRequestHandler(ListRootsRequestSchema, async () => {
    client.rooted += 1;
    return { roots: [{ uri: "file:///here", name: "here" }] };
  });
  return client;
}

// The specification's advice for clients: try one, and if that fails, the other.
async function connect(path, first, second) {
  const client = newClient();
  try {
    const transport = new first(new URL(base + path));
    await client.connect(transport);
    return [client, transport];
  } catch {
    const fallback = newClient(), transport = new second(new URL(base + path));
    await fallback.connect(transport);
    return [fallback, transport];
  }
}

async function tour(client, transport, prefix) {
  const progress = [];
  const echoed = await client.callTool({ name: prefix + "echo", arguments: { message: "hi" } });
  await client.callTool(
    { name: prefix + "trigger-long-running-operation", arguments: { duration: 0.9, steps: 3 } },
    undefined, { onprogress: (p) => progress.push(p.progress) });
  const sampled = await client.callTool(
    { name: prefix + "trigger-sampling-request", arguments: { prompt: "p", maxTokens: 5 } });
  const roots = await client.callTool({ name: prefix + "get-roots-list", arguments: {} });
  let ended = "session ended";
  if (transport.terminateSession) {
    await transport.terminateSession();
    ended = await client.ping().then(() => "session lives", () => "session ended");
  }
  await client.close();
  return { text: echoed.content[0].text, progress, ended, roots: client.rooted,
    sampled: JSON.stringify(sampled).includes("sampled!") && JSON.stringify(roots).includes("here") };
}

const transports = {}, surfaces = [];
for (const path of ["/mcp", "/mcp/everything", "/sse", "/sse/everything"]) {
  const [client, transport] = await connect(path, StreamableHTTPClientTransport, SSEClientTransport);
  transports[path] = transport instanceof SSEClientTransport ? "old" : "new";
  surfaces.push(await tour(client, transport, path.endsWith("everything") ? "" : "everything__"));
}
const [client, transport] = await connect("/mcp", SSEClientTransport, StreamableHTTPClientTransport);
transports["/mcp by an old client"] = transport instanceof SSEClientTransport ? "old" : "new";
surfaces.push(await tour(client, transport, "everything__"));
console.log(JSON.stringify({ transports, surfaces }));
process.exit(0);
