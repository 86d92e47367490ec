// The tour of sdk_server.py by the official TypeScript SDK: node modern_client.mjs JSON, with
// {mode: auto, pinned or legacy; url or command and args; prefix; scheme}. Prints {what: result}.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const { mode, url, command, args, prefix, scheme } = JSON.parse(process.argv[2]);
const seen = {};
const wanted = { "io.modelcontextprotocol/logLevel": "info" };

const client = new Client({ name: "Ada", version: "1" }, {
  capabilities: { sampling: {}, elicitation: {}, roots: {} },
  versionNegotiation: { mode: mode === "pinned" ? { pin: "2026-07-28" } : mode } });
client.setRequestHandler("elicitation/create",
  async () => ({ action: "accept", content: { name: "Ada" } }));
client.setRequestHandler("sampling/createMessage", async ({ params }) => {
  const asked = [params.messages[0].content].flat()[0].text;
  return { role: "assistant", model: "Ada", content: { type: "text", text: `Ada: ${asked}` } };
});
client.setRequestHandler("roots/list", async () => ({ roots: [{ uri: "file:///home/Ada" }] }));
const logged = new Promise((resolve) => client.setNotificationHandler("notifications/message",
  ({ params }) => resolve(params.data)));

async function see(what, promise) {
  try {
    seen[what] = await promise;
  } catch (problem) {
    seen[what] = { code: problem.code, message: problem.message, data: problem.data };
  }
}

// Of all servers together, only what is of this one, without its prefix.
async function seeList(what, promise) {
  await see(what, promise);
  seen[what][what] = seen[what][what]
    .filter((one) => one.name.startsWith(prefix)
      || (one.uri ?? one.uriTemplate ?? "").startsWith(scheme))
    .map((one) => ({ ...one,
      name: one.name.startsWith(prefix) ? one.name.slice(prefix.length) : one.name }));
}

const call = (name, args = {}, options = {}) => client.callTool(
  { name: prefix + name, arguments: args, ...(mode === "legacy" ? {} : { _meta: wanted }) },
  options);

async function tour() {
  seen.server = client.getServerVersion()?.name;
  await seeList("tools", client.listTools());
  await seeList("prompts", client.listPrompts());
  await seeList("resources", client.listResources());
  await seeList("resourceTemplates", client.listResourceTemplates());
  await see("echo", call("echo", { text: "grüße \u2028 😀" }));
  await see("show", call("show"));
  await see("weigh", call("weigh", { things: ["feather", "stone"] }));
  // Of its progress this SDK forgets what comes in one piece with the answer: see giveUp.
  await see("steps", call("progress", { steps: 3 }));
  await see("an error", call("fail", { code: 1234 }));
  await see("a failure", call("fail"));
  await see("log", call("log", { level: "warning", text: "a line" }));
  seen.logged = await logged;
  for (const kinds of [["elicitation"], ["sampling", "roots"], ["elicitation", "sampling", "roots"]])
    await see(`ask ${kinds}`, call("ask", { kinds }));
  await see("ask in rounds", call("ask", { kinds: ["roots"], rounds: 4 }));
  await see("ask nothing", call("ask", { kinds: [], rounds: 3 }));
  await see("prompt", client.getPrompt({ name: prefix + "greet", arguments: { name: "Ada" } }));
  await see("prompt that asks", client.getPrompt({ name: prefix + "interview" }));
  for (const uri of [`${scheme}://secret`, `${scheme}://greeting/Ada`])
    await see(uri, client.readResource({ uri }));
  await see("complete", client.complete({ ref: { type: "ref/prompt", name: prefix + "greet" },
    argument: { name: "name", value: "A" } }));
  await see("complete a URI", client.complete({ argument: { name: "name", value: "Al" },
    ref: { type: "ref/resource", uri: scheme + "://greeting/{name}" } }));
  await giveUp();
  await see("after what was given up", call("echo", { text: "still here" }));
}

// Cancel a call in the middle: the server says "cancelled" on its stderr.
async function giveUp() {
  const gone = new AbortController();
  const started = new Promise((resolve) => {
    seen["given up"] = call("wait", {}, { signal: gone.signal, onprogress: resolve })
      .then(() => "answered", () => "given up");
  });
  seen.progress = await started;
  gone.abort();
  seen["given up"] = await seen["given up"];
}

await client.connect(url ? new StreamableHTTPClientTransport(new URL(url))
  : new StdioClientTransport({ command, args, env: process.env, stderr: "ignore" }));
seen.era = client.getProtocolEra();
if (mode === "legacy") await client.setLoggingLevel("info");
await tour();
await client.close();
console.log(JSON.stringify(seen));
process.exit(0);
