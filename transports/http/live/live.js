// The live page: what the router does, as it happens. This file follows the router's event stream
// and hands what comes to the parts of the page:
//
//     servers.js        the servers and sessions            messages.js   the list and its filters
//     ladder.js         one call, message by message        chart.js      the last minute
//     try_tool.js       the dialog that calls a tool, with tool_form.js and tool_session.js
//     http.js           what all of them ask the router     text.js       outside text, as text
//
// There is no build step and no library. The page keeps the last 1,000 messages and does nothing
// while nothing happens.

import {cards} from "./servers.js";
import {Chart} from "./chart.js";
import {ladder} from "./ladder.js";
import {Messages} from "./messages.js";
import {TryTool} from "./try_tool.js";
import {ask, events, useToken} from "./http.js";
import {bytes, clockTime, indented, make, outside, visible} from "./text.js";

const PAUSE = 1500;  // milliseconds between two tries to connect
const $ = (id) => document.getElementById(id);

const messages = new Messages(open);
const chart = new Chart($("chart"), $("chart-text"));
const drawCards = cards((name, value) => messages.only(name, value));
const tryTool = new TryTool((test) => {
  const found = messages.all().find(test);
  if (found) open(found);
});
let servers = [];
let opened = [];  // the messages in the details

// -- one message and its call

function open(message) {
  opened = message.call === null ? [message] : messages.ofCall(message.call);
  if (!opened.includes(message)) opened = [message];  // the list has lost it meanwhile
  messages.choose(message);
  const cut = message.text.length < message.size && message.cut
    ? make("p", "quiet", `The first part of ${bytes(message.size)}:`) : "";
  const where = message.process ?? message.server;
  $("details-title").textContent = message.call === null ? "One message" : `Call ${message.call}`;
  $("details-body").replaceChildren(ladder(opened, message, open),
    make("h3", "", `${clockTime(message.time)} ${message.place} `,
         outside(message.session ?? ""), where ? ", " : "", outside(where ?? "")),
    cut, outside("", "json", "pre"));
  $("details-body").lastChild.textContent = indented(message.text);
  $("details").hidden = false;
}

function closeDetails() {
  $("details").hidden = true;
  messages.focus();
  messages.choose(null);
  opened = [];
}

/** What came belongs to the call that is open: draw it again, at the same place. */
function extendDetails(batch) {
  const call = opened[0]?.call ?? null;
  if (call === null || !batch.some((message) => message.call === call)) return;
  const details = $("details"), top = details.scrollTop;
  const inside = details.contains(document.activeElement);
  open(messages.chosen);
  details.scrollTop = top;
  if (inside) details.focus({preventScroll: true});
}

// -- what the router tells

const HEARD = {
  hello({version, url}) {
    $("version").textContent = visible(version);
    messages.clear();  // the last ones come again
    const terms = [["all servers", `${url}/mcp`], ["a client of the older HTTP+SSE", `${url}/sse`],
                   ["one server only", `${url}/mcp/NAME`]];
    $("urls").replaceChildren(...terms.flatMap(([term, text]) => [
      make("dt", "", term), outside(text, "", "dd")]));
    $("client-config").textContent = visible(JSON.stringify(
      {mcpServers: {router: {type: "http", url: `${url}/mcp`}}}));
    $("open-try").disabled = $("first-try").disabled = false;
  },
  state(state) {
    servers = state.servers.map((server) => server.name);
    drawCards(state);
  },
  missed({missed}) {
    messages.miss(missed);
  },
  messages(batch) {
    messages.add(batch);
    chart.add(batch);
    extendDetails(batch);
  },
};

async function follow() {
  let problem = "";
  for (;;) {
    try {
      const response = await ask("live/events", {headers: {Accept: "text/event-stream"}});
      if (response.status === 401) {
        tellConnection(false, "the token is missing");
        await askToken(problem);
        problem = "The router does not know this token.";
        continue;
      }
      if (!response.ok) throw new Error(await response.text());
      tellConnection(true, "");
      problem = "";
      for await (const {event, data} of events(response)) HEARD[event]?.(JSON.parse(data));
      tellConnection(false, "the router has ended the stream");
    } catch (error) {
      tellConnection(false, error.message);
    }
    await new Promise((resume) => setTimeout(resume, PAUSE));
  }
}

function tellConnection(isConnected, why) {
  $("connection").dataset.state = isConnected ? "running" : "failed";
  $("connection").replaceChildren(isConnected ? "connected" : "not connected",
                                  why ? outside(`: ${why}`) : "");
  document.body.classList.toggle("stale", !isConnected);
}

/** Ask for the token; done when one was typed. */
function askToken(problem) {
  const dialog = $("token"), input = dialog.querySelector("input");
  dialog.querySelector(".problem").textContent = problem;
  input.value = "";
  dialog.showModal();
  return new Promise((typed) => {
    dialog.oncancel = (event) => event.preventDefault();  // without it there is nothing to see
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      useToken(input.value.trim());
      dialog.close();
      typed();
    };
  });
}

// -- buttons and keys

$("details-close").addEventListener("click", closeDetails);

for (const id of ["open-try", "first-try"]) {
  $(id).addEventListener("click", () => tryTool.open(servers));
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("by-text").focus();
  } else if (event.key === "Escape" && !$("details").hidden && !event.target.closest("dialog")) {
    closeDetails();
  }
});

follow();
