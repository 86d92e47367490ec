// The cards of the servers and of the sessions. A card stays the same element while what it tells
// changes, so that an opened list stays open and the focus stays where it is.

import {ask} from "./http.js";
import {button, make, outside, shorten} from "./text.js";

const SHORT = 200;  // characters of a name

/** Draw a card for each item into a list: body(item) is its content, more(item) what is folded. */
class Cards {
  constructor(list, look) {
    this._list = list;
    this._look = look;
    this._cards = new Map();  // name → {card, told}
  }

  draw(items) {
    for (const [name, {card}] of this._cards) {
      if (!items.some((item) => item.name === name)) {
        card.remove();
        this._cards.delete(name);
      }
    }
    for (const item of items) {
      const found = this._cards.get(item.name) ?? this._add(item);
      const told = JSON.stringify(item);
      if (found.told !== told) this._look(found.card, item);
      found.told = told;
    }
  }

  _add(item) {
    const card = make("li", "card", make("div", "head"), make("div", "facts"));
    const found = {card, told: null};
    this._cards.set(item.name, found);
    this._list.append(card);
    return found;
  }
}

/** {state(state), log(lines)}: what the router tells. `only(name, value)` filters the messages, and
 * look(name) looks into a server. */
export function cards(only, look) {
  const $ = (id) => document.getElementById(id);
  const servers = new Cards($("servers"), (card, item) => lookOfServer(card, item, only, look));
  const sessions = new Cards($("sessions"), (card, item) => lookOfSession(card, item, only));
  const ends = new Map();   // server → why it ended last
  let known = {servers: [], sessions: []};
  function draw() {
    servers.draw(known.servers.map((server) => ({
      ...server, canAct: known.canAct, lastEnd: ends.get(server.name)})));
    sessions.draw(known.sessions);
    $("no-sessions").hidden = known.sessions.length > 0;
  }
  return {
    state(state) {
      known = state;
      draw();
    },
    log(lines) {
      const bad = lines.filter((line) => line.level === "error");
      for (const {server, text} of bad) {
        ends.set(server, text.replace(/^.* is not running: /, "").replace(/; it is [^;]*$/, ""));
      }
      if (bad.length) draw();
    },
  };
}

function lookOfServer(card, server, only, look) {
  card.dataset.state = server.state;
  title(card, server.name, make("span", "state", server.state), () => only("server", server.name));
  const facts = [told(server.serverInfo), server.revision && outside(server.revision),
                 ...["tools", "prompts", "resources"].map((what) => count(server[what], what)),
                 server.callsInFlight && `${server.callsInFlight} in flight`,
                 server.restingSince && resting(server.restingSince, server.cost),
                 server.outlook,
                 server.restarts && `restarted ${times(server.restarts)}`,
                 server.url && outside(shorten(server.url, SHORT))];
  card.querySelector(".facts").replaceChildren(...line(facts));
  if (server.lastError) {
    card.querySelector(".facts").append(outside(shorten(server.lastError, 600), "problem", "p"));
  } else if (server.restarts && server.lastEnd) {
    card.querySelector(".facts").append(make("p", "", "It had ended: ", outside(
      shorten(server.lastEnd, 600))));
  }
  if (!card.querySelector(".acts")) {
    card.append(make("div", "acts", button("Inside", () => look(server.name)), make("span")));
  }
  drawActs(card.querySelector(".acts > span"), server);
  const [one, many] = server.url ? ["connection", "connections"] : ["process", "processes"];
  fold(card, "processes", `${server.processes.length} ${
    server.processes.length === 1 ? one : many}`, server.processes.map(process));
  fold(card, "stderr", "last lines of stderr", server.lastLines.map(
    (text) => outside(shorten(text, 1000), "", "code")));
}

/** Since when, and what it would cost to have it back. */
function resting(since, cost) {
  const time = new Date(1000 * since).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  return [`since ${time}`, cost.startSeconds != null && `started in ${cost.startSeconds} s`,
          cost.megabytes && `had ${cost.megabytes} MB`].filter(Boolean).join(", ");
}

/** The buttons of what can be done to a server, in this box. They stay the same elements while they
 * can do the same: somebody may be about to press one for the second time. */
export function drawActs(box, server) {
  const key = JSON.stringify([server.name, server.login, server.canAct, server.state === "stopped"]);
  box.inFlight = server.callsInFlight;
  if (box.dataset.key !== key) box.replaceChildren(...acts(server, () => box.inFlight));
  else if (!box.inFlight) for (const one of box.children) one.calm?.();
  box.dataset.key = key;
}

function acts(server, inFlight) {
  const problem = make("p", "problem");
  const buttons = server.login ? [button("Log in", () => act(server.name, "login", problem))] : [];
  if (server.canAct && server.state === "stopped") {
    buttons.push(button("Start", () => act(server.name, "restart", problem)));
  } else if (server.canAct) {
    buttons.push(careful("Restart", inFlight, () => act(server.name, "restart", problem)),
                 careful("Stop", inFlight, () => act(server.name, "stop", problem)));
    buttons.at(-1).title = "until it is started here, or the config changes";
  }
  return [...buttons, problem];
}

/** A button that must be pressed twice while calls are under way, since these will fail. */
function careful(name, inFlight, act) {
  let isSure = false, timer = null;
  const element = button(name, () => {
    const calls = inFlight();
    clearTimeout(timer);
    if (isSure || !calls) {
      element.calm();
      act();
      return;
    }
    isSure = true;
    element.textContent = `${name}? ${calls === 1 ? "A call fails" : `${calls} calls fail`}`;
    timer = setTimeout(element.calm, 4000);
  });
  element.calm = () => {
    [isSure, element.textContent] = [false, name];
  };
  return element;
}

/** "restart", "stop" or "login": the router is asked to; in `problem` stands why it does not.
 * The login is another tab's; its answer comes to the router, and then the server starts. */
async function act(name, action, problem) {
  const isLogin = action === "login";
  const tab = isLogin && open("", "_blank");  // first: later, a browser takes it for a pop-up
  problem.replaceChildren();
  try {
    const server = encodeURIComponent(name);
    const response = await ask(isLogin ? `live/login/${server}` : `live/servers/${server}/${action}`,
                               {method: "POST"});
    const told = await response.text();
    if (!response.ok) throw new Error(told);
    if (tab) {
      tab.opener = null;
      tab.location.replace(JSON.parse(told).url);
    } else if (isLogin) {
      location.assign(JSON.parse(told).url);
    }
  } catch (failed) {
    if (tab) tab.close();
    problem.replaceChildren(outside(shorten(failed.message, 600)));
  }
}

function process(one) {
  const facts = [outside(one.label), one.state, one.pid && `pid ${one.pid}`,
                 one.owner && ["of ", outside(one.owner)],
                 one.heldBy && ["held by ", outside(one.heldBy)],
                 one.capabilities.length > 0 && [
                   "for clients with ", outside(one.capabilities.join(", "))],
                 `${one.sessions} ${one.sessions === 1 ? "session" : "sessions"}`,
                 one.callsInFlight && `${one.callsInFlight} in flight`,
                 one.restarts && `restarted ${times(one.restarts)}`,
                 one.lastError && outside(shorten(one.lastError, 600), "problem")];
  return make("p", "", ...line(facts));
}

function lookOfSession(card, session, only) {
  const {name, version} = session.client ?? {};
  title(card, [name, version].filter(Boolean).join(" ") || session.name,
        make("span", "transport", session.transport), () => only("session", session.name));
  const facts = [session.modern ? "has no session" : outside(session.name), session.revision && outside(session.revision),
                 session.surface ? ["sees ", outside(session.surface)] : "sees all servers",
                 asked(session.capabilities),
                 session.callsInFlight && `${session.callsInFlight} in flight`,
                 session.silentSeconds >= 60
                   && `silent for ${Math.floor(session.silentSeconds / 60)} min`];
  card.querySelector(".facts").replaceChildren(...line(facts));
}

/** A card's first line: its name, which filters the messages, and a word. */
function title(card, name, word, act) {
  const head = card.querySelector(".head");
  if (!head.firstChild) {
    const filter = button("", act);
    filter.title = "show its messages only";
    head.append(filter, word);
  }
  head.firstChild.replaceChildren(outside(shorten(name, SHORT)));
  head.lastChild.replaceWith(word);
}

/** The elements of a list that is folded until it is opened; none if it is empty. */
function fold(card, kind, name, elements) {
  let details = card.querySelector(`details.${kind}`);
  if (!details && elements.length) {
    details = make("details", kind, make("summary", "", name), make("div"));
    card.append(details);
  }
  if (!details) return;
  details.hidden = elements.length === 0;
  details.firstChild.textContent = name;
  details.lastChild.replaceChildren(...elements);
}

/** Facts in one line, with dots between; those that are not so (null, 0, false) are left out. */
function line(facts) {
  return facts.filter(Boolean).flatMap((fact, at) => {
    const parts = Array.isArray(fact) ? fact : [fact];
    return at ? [" · ", ...parts] : parts;
  });
}

function told(info) {
  return info && outside(shorten(`${info.name ?? "?"} ${info.version ?? ""}`.trim(), SHORT));
}

function asked(capabilities) {
  const names = Object.keys(capabilities ?? {});
  return names.length > 0 && ["can do ", outside(shorten(names.join(", "), SHORT))];
}

function count(number, what) {
  return number > 0 && `${number} ${number === 1 ? what.slice(0, -1) : what}`;
}

function times(number) {
  return number === 1 ? "once" : `${number} times`;
}
