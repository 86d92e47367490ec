// The panel that looks into one server, a group, or all together: what it offers, what that costs a
// model, what can be done to it, and what the log has said of it.

import {Session} from "./session.js";
import {costInWords, costOf, offersOf} from "./offers.js";
import {drawActs} from "../servers.js";
import {clockTime, make, outside, shorten} from "../text.js";

const ALL = "";         // all servers together
const SHOWN_LINES = 300;
const SOON = 300;       // milliseconds: lists of one server change together
const RECENT = 60_000, LONGEST = 30_000;    // milliseconds: see _listSoon
const UP = new Set(["running", "resting", "not needed"]);
const $ = (id) => document.getElementById(`server-${id}`);

export class ServerPanel {
  /** tryIt({at, kind, name}) when something that is offered is to be tried. */
  constructor(tryIt) {
    this._tryIt = tryIt;
    this._state = {servers: [], groups: {}};
    this._lines = [];       // of the log, of all servers
    this._last = 0;         // the number of the last of them
    this._run = null;       // of the router
    this._key = null;       // what is shown was listed when its servers were so
    this._listed = [];      // when that was lately done
    $("close").addEventListener("click", () => this.close());
    $("panel").addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    $("name").addEventListener("change", () => this.open($("name").value || null));
  }

  /** Show this server or group; null: all together. */
  open(name) {
    document.getElementById("try-panel").hidden = true;
    $("panel").hidden = false;
    $("name").value = name ?? ALL;
    [this._key, this._listed] = [null, []];
    $("cost").replaceChildren();
    $("offers").replaceChildren();
    this._draw();
    $("name").focus({preventScroll: true});
  }

  close() {
    $("panel").hidden = true;
    document.getElementById("open-servers").focus();
  }

  /** What the router tells of its servers and groups has changed. */
  state(state) {
    this._state = state;
    const groups = Object.keys(state.groups ?? {}), chosen = $("name").value;
    const names = [ALL, ...state.servers.map((server) => server.name), ...groups];
    if (JSON.stringify(names) !== JSON.stringify(Array.from($("name").options, (one) => one.value))) {
      $("name").replaceChildren(...names.map((name) => {
        const option = outside(shorten(name === ALL ? "all servers together"
          : groups.includes(name) ? `group ${name}` : name, 100), "", "option");
        option.value = name;
        return option;
      }));
      $("name").value = names.includes(chosen) ? chosen : ALL;
    }
    if (!$("panel").hidden) this._draw();
  }

  /** The stream begins anew: the lines come again, unless it is another run. */
  connected(run) {
    if (this._run !== run) [this._last, this._key] = [0, null];     // its servers may list others
    this._run = run;
  }

  /** Lines of the log. */
  log(lines) {
    const fresh = lines.filter((line) => line.n > this._last);
    if (!fresh.length) return;
    this._last = fresh.at(-1).n;
    this._lines = [...this._lines, ...fresh].slice(-1000);
    if (!$("panel").hidden) this._drawLog();
  }

  /** Messages have passed. If a list has changed, what is shown is not true any more. */
  heard(batch) {
    if (!$("panel").hidden && batch.some((message) => message.place === "from server"
        && message.method?.endsWith("/list_changed"))) {
      this._key = null;
      this._listSoon();
    }
  }

  _servers() {
    const name = $("name").value, members = this._state.groups?.[name];
    return this._state.servers.filter((server) => name === ALL || server.name === name
      || members?.includes(server.name));
  }

  _draw() {
    const server = $("name").value === ALL ? null
      : this._state.servers.find(({name}) => name === $("name").value);
    $("acts").hidden = !server;
    if (server) drawActs($("acts"), {...server, canAct: this._state.canAct});
    $("problem").replaceChildren(outside(shorten(server?.lastError ?? "", 2000)));
    this._drawLog();
    this._listSoon();
  }

  _drawLog() {
    const names = new Set(this._servers().map(({name}) => name)), several = names.size > 1;
    const lines = this._lines.filter((line) => names.has(line.server)).slice(-SHOWN_LINES);
    const list = $("log"), atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    list.replaceChildren(...lines.map((line) => make("li", line.level,
      make("span", "time", clockTime(line.time)), " ", make("span", "level", line.level), " ",
      several || line.process !== line.server ? outside(`${line.process} `, "server") : "",
      outside(line.text))));
    $("no-log").hidden = lines.length > 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  /** List what there is now, if that may have changed. Whoever lists is a client, for whom a server
   * that has failed is started again: so we do so of those that are up, and less and less often. */
  _listSoon() {
    const up = this._servers().filter((server) => UP.has(server.state));
    const key = JSON.stringify([$("name").value, up.map((server) => [
      server.name, server.tools, server.prompts, server.resources, server.revision])]);
    if (key === this._key) return;
    this._key = key;
    clearTimeout(this._timer);
    if (!up.length) {
      $("cost").replaceChildren();
      $("offers").replaceChildren();
      return;
    }
    this._listed = this._listed.filter((when) => when > performance.now() - RECENT);
    this._timer = setTimeout(() => this._list(key),
                             Math.min(LONGEST, SOON * 2 ** this._listed.length));
  }

  /** As any client sees it: through a session that is over when all is listed. */
  async _list(key) {
    const name = $("name").value, at = name || null, session = new Session(at);
    let lists = null;
    this._listed.push(performance.now());
    try {
      await session.begin();
      lists = await session.lists();
    } catch (problem) {
      if (this._key === key) {
        $("cost").replaceChildren(outside(shorten(problem.message, 1000), "problem"));
        $("offers").replaceChildren();
      }
    } finally {
      session.end();
    }
    if (!lists || this._key !== key) return;    // another one was chosen meanwhile
    $("cost").replaceChildren(...cost(lists.tools, name === ALL, this._servers()));
    const opened = new Set(Array.from($("offers").querySelectorAll("details[open]"),
                                      (one) => one.dataset.name));
    $("offers").replaceChildren(...offersOf(
      lists, (kind, which) => this._tryIt({at, kind, name: which})));
    for (const one of $("offers").querySelectorAll("details")) one.open = opened.has(one.dataset.name);
  }
}

function cost(tools, isAll, servers) {
  if (!tools.length) return [make("p", "quiet", "It has no tools.")];
  const sizes = tools.map((tool) => costOf(tool)), all = sizes.reduce((one, two) => one + two, 0);
  const found = [make("p", "", make("b", "", `${tools.length} ${tools.length === 1 ? "tool" : "tools"}`),
                      ` cost a model ${costInWords(all)} in each request.`)];
  const shares = servers.map(({name}) => {
    const mine = tools.map((tool, at) => String(tool.name).startsWith(`${name}__`) ? sizes[at] : 0);
    return [name, mine.reduce((one, two) => one + two, 0), mine.filter(Boolean).length];
  }).filter(([, size]) => size).sort(([, one], [, other]) => other - one);
  if (isAll && shares.length > 1) {
    found.push(make("ul", "shares", ...shares.map(([name, size, number]) => make("li", "",
      outside(shorten(name, 100), "method"), ` ${number} ${number === 1 ? "tool" : "tools"}, ${
        costInWords(size)}`))),
      make("p", "quiet", "A group in the config shows a client only some of them."));
  }
  return found;
}
