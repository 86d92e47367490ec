// The panel that calls a tool, gets a prompt or reads a resource: choose one, fill its form, answer
// what the server asks, see the answer. Its session begins when the panel is first opened, and ends
// with the page.

import {Cancelled, Session} from "./session.js";
import {CAPABILITIES, Questions} from "./questions.js";
import {Form} from "./form.js";
import {KINDS, METHODS, VERBS, nameOf, requestFor, schemaOf} from "./kinds.js";
import {hints} from "./offers.js";
import {Tries} from "./tries.js";
import {contentsOf} from "../messages/content.js";
import {contentOf, duration, lines, make, outside, parseAsSent, shorten} from "../text.js";

const ALL = "";     // all servers together
const MANY = 15;    // of so many, the list can be narrowed
const $ = (id) => document.getElementById(`try-${id}`);

export class Try {
  /** show(test) opens the first message of which test(message) is true. */
  constructor(show) {
    this._show = show;
    this._session = null;
    this._token = null;     // the progress token of the last call: only its messages have it
    this._all = [];         // [kind, item]: all that can be tried
    this._offers = [];      // those that stand in the list
    this._wanted = null;    // what to choose and fill in once the list is there
    this._at = null;        // where the session is
    this._form = new Form($("fields"));
    this._questions = new Questions($("questions"), () => $("roots").value.split("\n").filter(
      (line) => line.trim()).map((line) => line.trim()));
    this._tries = new Tries($("tries"), (one) => this.open(one));
    $("close").addEventListener("click", () => this.close());
    $("panel").addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    $("server").addEventListener("change", () => this._begin());
    $("asked").addEventListener("change", () => this._begin());
    $("roots").addEventListener("change", () => this._session?.say(
      "notifications/roots/list_changed").catch(() => {}));
    $("name").addEventListener("change", () => this._choose());
    $("narrow").addEventListener("input", () => this._fill(this._all));
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this._run();
    });
    $("form").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
    });
    $("cancel").addEventListener("click", () => this._cancel?.());
    $("show").addEventListener("click", () => {
      if (matchMedia("(max-width: 700px)").matches) this.close();
      this._show((message) => contentOf(message)?.params?._meta?.progressToken === this._token);
    });
    addEventListener("pagehide", () => this._session?.end());
  }

  /** The servers and groups that there are. */
  know(servers, groups) {
    const names = [ALL, ...groups, ...servers], known = Array.from($("server").options);
    if (JSON.stringify(names) === JSON.stringify(known.map((one) => one.value))) return;
    const before = $("server").value;
    $("server").replaceChildren(...names.map((name) => {
      const words = name === ALL ? "all servers together"
        : groups.includes(name) ? `group ${name}` : name;
      const option = outside(shorten(words, 100), "", "option");
      option.value = name;
      return option;
    }));
    const stays = names.includes(before);
    $("server").value = stays ? before : ALL;
    if (!stays && this._session) this._begin();
  }

  /** Show the panel. With `at` (a server, a group or null), `kind`, `name` and `given`, the
   * arguments: with that chosen and filled in. With `run`, it is called. */
  open(wanted) {
    document.getElementById("server-panel").hidden = true;
    $("panel").hidden = false;
    if (wanted && this._running) {
      this._tell(new Error("A call is under way here: wait for its end, or cancel it first."));
      return;
    }
    const names = Array.from($("server").options, (one) => one.value);
    const at = wanted && names.includes(wanted.at ?? ALL) ? wanted.at ?? ALL : $("server").value;
    this._wanted = wanted ?? this._wanted;
    if (!this._session || at !== $("server").value) {
      $("server").value = at;
      this._begin();
    } else if (wanted && !this._busy) {
      this._chooseWanted();
    }
    $("name").focus({preventScroll: true});
  }

  /** What a client has asked is tried again, as a client `at` the same server, group or all. */
  again(text, at, run) {
    let asked;
    try {
      asked = parseAsSent(text);
    } catch {
      this.open();
      this._tell(new Error("This request was too long: not all of it is kept."));
      return;
    }
    const {method, params = {}} = asked, kind = METHODS[method];
    this.open({at, kind, run, name: kind === "resources" ? params.uri : params.name,
               given: kind === "resources" ? {} : params.arguments ?? {}});
  }

  close() {
    $("panel").hidden = true;
    document.getElementById("open-try").focus();
  }

  /** The router is there again: it may be another one, with other servers. The session finds out. */
  connected() {
    if (this._session) this._listSoon(this._session);
    else if (!$("panel").hidden) this._begin();
  }

  _begin() {
    this._ready = this._beginNow();
  }

  async _beginNow() {
    this._session?.end();
    const name = $("server").value, canBeAsked = $("asked").checked;
    const session = new Session(name === ALL ? null : name, {
      capabilities: canBeAsked ? CAPABILITIES : {},
      asked: canBeAsked ? (question) => this._questions.ask(question) : null,
      changed: () => this._session === session && this._listSoon(session)});
    this._session = session;
    this._busy = true;
    this._questions.clear();
    if (this._at !== name) this._fill([]);
    this._at = name;
    if (!this._offers.length) this._tell("Connecting…");
    try {
      await session.begin();
      await this._list(session);
    } catch (problem) {
      if (this._session !== session) return;  // another server was chosen meanwhile
      this._session = null;  // the next opening tries again
      this._fill([]);
      this._tell(problem);
    }
  }

  /** Its lists have changed; three lists of one server change together. */
  _listSoon(session) {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._list(session).catch((problem) => {
      if (this._session === session) this._tell(problem);
    }), 200);
  }

  async _list(session) {
    const lists = await session.lists();
    if (this._session !== session) return;
    this._busy = false;
    this._fill(Object.keys(KINDS).flatMap((kind) => lists[kind].map((item) => [kind, item])));
  }

  /** These are there to be chosen. What was chosen before stays, and what was typed for it. */
  _fill(all) {
    const before = this._chosen(), part = $("narrow").value.trim().toLowerCase();
    if (this._wanted) $("narrow").value = "";
    const isNarrow = part && !this._wanted;
    const offers = isNarrow ? all.filter(
      ([kind, item]) => nameOf(kind, item).toLowerCase().includes(part)) : all;
    [this._all, this._offers] = [all, offers];
    $("narrow").hidden = all.length < MANY;
    this._drawNames(offers);
    const at = before ? this._find(before[0], nameOf(...before)) : -1;
    if (this._wanted && offers.length) {
      this._chooseWanted();
    } else if (at >= 0) {
      $("name").selectedIndex = at;
      if (JSON.stringify(before) !== JSON.stringify(offers[at])) this._choose(this._typed());
    } else {
      this._choose();
    }
    if (!offers.length && this._session) {
      this._tell(isNarrow ? "Nothing has this in its name." : "There is nothing to try here.");
    }
  }

  /** Only if they are others than before: somebody may be about to choose. */
  _drawNames(offers) {
    const drawn = JSON.stringify(offers.map(([kind, item]) => [kind, nameOf(kind, item)]));
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    const groups = Object.entries(KINDS).map(([kind, title]) => {
      const group = make("optgroup");
      group.label = title;
      group.append(...offers.filter(([one]) => one === kind).map(
        ([, item]) => outside(shorten(nameOf(kind, item), 100), "", "option")));
      return group;
    });
    $("name").replaceChildren(...groups.filter((group) => group.firstChild));
  }

  _chooseWanted() {
    if (this._offers.length < this._all.length) {
      this._fill(this._all);    // with what is wanted, and so with all
      return;
    }
    const {kind, name, given, run, status, answer, failed} = this._wanted;
    this._wanted = null;
    let at = this._find(kind, name), filled = given;
    if (at < 0 && kind === "resources") {   // it may be one that a template makes
      at = this._offers.findIndex(([one]) => one === "templates");
      filled = {uri: name};
    }
    if (at < 0) {
      this._tell(new Error(`There is no ${name} here now.`));
      return;
    }
    $("name").selectedIndex = at;
    this._choose(filled);
    if (status) this._tell(failed ? new Error(status) : status);
    if (answer) this._showAnswer(answer, failed);
    if (run) this._run();
  }

  _find(kind, name) {
    return this._offers.findIndex(([one, item]) => one === kind && nameOf(one, item) === name);
  }

  _chosen() {
    return this._offers[$("name").selectedIndex];
  }

  _typed() {
    try {
      return this._form.read();
    } catch {
      return undefined;
    }
  }

  _choose(given) {
    const [kind, item] = this._chosen() ?? [];
    $("about").replaceChildren(outside(shorten(String(item?.description ?? ""), 4000)));
    $("hints").replaceChildren(...hints(item));
    this._form.show(schemaOf(kind, item), given);
    const submit = $("form").querySelector("[type=submit]");
    submit.textContent = VERBS[kind] ?? "Call";
    submit.disabled = !item || this._running;
    $("answer").hidden = true;
    this._tell("");
  }

  async _run() {
    const [kind, item] = this._chosen() ?? [];
    if (!item || this._running) return;
    let given;
    try {
      given = this._form.read();
    } catch (problem) {
      this._tell(problem);
      return;
    }
    const token = `live-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    const one = {at: $("server").value || null, kind, name: nameOf(kind, item), given,
                 time: Date.now() / 1000};
    this._token = token;
    $("answer").hidden = true;
    this._tell("Calling…");
    this._work(true);
    this._cancel = null;
    const begun = performance.now(), ticking = setInterval(() => this._tick(begun), 1000);
    try {
      await this._ready;
      if (!this._session) throw new Error("There is no session with the router: try it again.");
      const result = await this._session.request(...requestFor(kind, item, given, token), {
        progress: (params) => this._progress(params),
        begun: (cancel) => {
          this._cancel = cancel;
        }});
      one.failed = Boolean(result.isError);
      one.answer = {result};
      one.status = `${one.failed ? "The tool says that it failed" : "The answer"}, after ${
        took(begun)}:`;
    } catch (problem) {
      one.failed = !(problem instanceof Cancelled);
      one.answer = problem.error ? {error: problem.error} : null;
      one.status = one.failed ? `${shorten(problem.message, 2000)} (after ${took(begun)})`
        : `Cancelled after ${took(begun)}.`;
    } finally {
      clearInterval(ticking);
      this._work(false);
      this._questions.clear();
    }
    this._tell(one.failed ? new Error(one.status) : one.status);
    if (one.answer) this._showAnswer(one.answer, one.failed);
    this._tries.add(one);
  }

  _work(running) {
    this._running = running;
    $("form").querySelector("[type=submit]").disabled = running;
    $("cancel").disabled = !running;
    $("show").disabled = false;
  }

  _showAnswer(answer, failed) {
    $("answer").replaceChildren(...contentsOf({text: JSON.stringify(answer), failed}));
    $("answer").hidden = false;
  }

  _tick(begun) {
    const seconds = Math.round((performance.now() - begun) / 1000);
    if ($("status").textContent.startsWith("Calling…")) this._tell(`Calling… ${seconds} s`);
  }

  _progress({progress: done, total, message}) {
    this._tell(`${done}${total === undefined ? "" : ` of ${total}`} ${message ?? ""}`);
  }

  /** Show a sentence, or a problem, below the form. */
  _tell(what) {
    $("status").className = what instanceof Error ? "problem" : "";
    $("status").replaceChildren(lines(shorten(what instanceof Error ? what.message : what, 2000)));
  }
}

function took(begun) {
  return duration((performance.now() - begun) / 1000);
}
