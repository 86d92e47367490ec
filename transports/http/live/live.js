// The live page: what the router does, as it happens. This file follows the router's event stream
// and hands what comes to the parts of the page. Read them in this order:
//
//     http.js           what all of them ask the router     text.js       outside text, as text
//     messages/call.js      one call, from its messages: who has to do something next
//     messages/history.js   the calls and messages that are kept
//     messages/filters.js   which of them are listed
//     messages/list.js      a list of any length            messages/rows.js      its rows
//     messages/details.js   a call that is open, with content.js (what it says), ladder.js (its way)
//     messages/view.js      all of this together
//     chart.js          the last minute                     servers.js    the servers and sessions
//     panel/session.js      an MCP client                   panel/form.js a form for any schema
//     panel/try.js          the panel that calls a tool, with kinds.js, questions.js, tries.js
//     panel/server.js       the panel that looks into a server, with offers.js
//     take_away/take_away.js    what can be copied, saved and opened, with curl.js, trace_file.js
//
// There is no build step and no library. The page does nothing while nothing happens.

import {cards} from "./servers.js";
import {Chart} from "./chart.js";
import {CallTools} from "./take_away/call_tools.js";
import {History} from "./messages/history.js";
import {ServerPanel} from "./panel/server.js";
import {Try} from "./panel/try.js";
import {View} from "./messages/view.js";
import {opener, save} from "./take_away/take_away.js";
import {ask, events, hasToken, useToken} from "./http.js";
import {button, clockTime, make, outside, parse, visible} from "./text.js";

const PAUSE = 1500;  // milliseconds between two tries to connect
const $ = (id) => document.getElementById(id);

const callTools = new CallTools($("call-tools"), (...wanted) => tryPanel.again(...wanted));
export const view = new View((...open) => callTools.show(...open));
const chart = new Chart($("chart"), $("chart-text"));
const serverCards = cards((name, value) => view.only(name === "session" ? "client" : name,
                                                   value.replace(/^client /, "")),
                        (name) => serverPanel.open(name));
const tryPanel = new Try((test) => {
  showTrace(null);
  const found = view.all().find(test);
  if (found) view.open(found);
});
const serverPanel = new ServerPanel((wanted) => tryPanel.open(wanted));

// -- what the router tells

const HEARD = {
  hello({version, url, run, since}) {
    $("version").textContent = visible(version);
    $("since").textContent = clockTime(since);
    chart.begin(since);
    view.begin(run);
    callTools.connected(url, run);
    serverPanel.connected(run);
    tryPanel.connected();
    const terms = [["all servers", `${url}/mcp`], ["a client of the older HTTP+SSE", `${url}/sse`],
                   ["one server only", `${url}/mcp/NAME`]];
    $("urls").replaceChildren(...terms.flatMap(([term, text]) => [
      make("dt", "", term), outside(text, "", "dd")]));
    const router = {type: "http", url: `${url}/mcp`};
    if (hasToken()) router.headers = {Authorization: "Bearer THE-TOKEN"};
    $("client-config").textContent = visible(JSON.stringify({mcpServers: {router}}));
    $("client-token").hidden = !hasToken();
    for (const id of ["open-try", "first-try", "open-servers"]) $(id).disabled = false;
    tellConnection(true, "");
  },
  state(state) {
    serverCards.state(state);
    callTools.state(state);
    serverPanel.state(state);
    tryPanel.know(state.servers.map((server) => server.name), Object.keys(state.groups));
    view.state(state.busy, state.servers, state.sessions);
  },
  log(lines) {
    view.log(lines);
    serverCards.log(lines);
    serverPanel.log(lines);
  },
  minute(told) {
    chart.draw(told);
  },
  missed({missed, until}) {
    view.miss(missed, until);
  },
  messages(batch) {
    view.add(batch);
    serverPanel.heard(batch);
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
      problem = "";
      for await (const {event, data} of events(response)) HEARD[event]?.(parse(data));
      tellConnection(false, "the router has ended the stream");
    } catch (error) {
      tellConnection(false, error.message);
    }
    await new Promise((resume) => setTimeout(resume, PAUSE));
  }
}

function tellConnection(isConnected, why) {
  if (!isConnected) view.state(null);
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

// -- a file of --trace, in place of what passes now

/** Show it, or (null) what passes now. */
function showTrace(name, trace) {
  let history = null;
  if (name !== null) {
    const {messages, lines, missed, left} = trace;
    history = new History();
    history.begin("a file");
    history.add(messages);
    history.log(lines);
    history.miss(missed);
    history.lose("there is none in this file");
    const many = `${messages.length.toLocaleString("en")} ${
      messages.length === 1 ? "message" : "messages"}`;
    $("trace-shown").replaceChildren(
      outside(name), left ? `: the last ${many}. ${
        left.toLocaleString("en")} before them are too many to show. ` : `: ${many}. `,
      button("Back to what passes now", () => showTrace(null)));
  } else {
    $("trace-shown").replaceChildren();
  }
  view.use(history);
}

// -- buttons and keys

for (const id of ["open-try", "first-try"]) {
  $(id).addEventListener("click", () => tryPanel.open());
}
$("open-servers").addEventListener("click", () => serverPanel.open(null));
$("head-tools").append(...opener(showTrace, (problem) => {
  $("trace-shown").querySelector(":scope > div")?.remove();   // what is shown stays named below it
  $("trace-shown").prepend(make("div", "", problem, " ", button("✕", (event) => (
    event.target.parentElement.remove()))));
}));
$("list-tools").append(button("Save", () => save(view.listed())));
$("reset").addEventListener("click", () => view.filters.reset());

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog, #panel");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("by-text").focus();
  } else if (event.key === "Escape" && !event.target.closest("dialog, #panel")) {
    view.close();
  }
});

follow();
