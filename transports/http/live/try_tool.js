// The dialog that calls a tool: choose one, fill its form, see the answer. The session begins when
// the dialog is first opened, and ends with the page.

import {ToolSession} from "./tool_session.js";
import {fieldsFor} from "./tool_form.js";
import {bytes, contentOf, indented, outside, shorten, visible} from "./text.js";

const MOST_SHOWN = 100_000;  // characters of an answer
const ALL = "all servers together";
const $ = (id) => document.getElementById(`try-${id}`);

export class TryTool {
  /** show(test) opens the first message of which test(message) is true. */
  constructor(show) {
    this._show = show;
    this._dialog = document.getElementById("try");
    this._session = null;
    this._token = null;  // the progress token of the last call: only that call's messages have it
    this._dialog.querySelector(".close").addEventListener("click", () => this._dialog.close());
    $("server").addEventListener("change", () => this._begin());
    $("name").addEventListener("change", () => this._choose());
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this._call();
    });
    $("form").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.ctrlKey) $("form").requestSubmit();
    });
    $("cancel").addEventListener("click", () => this._session.cancel().catch(tell));
    $("show").addEventListener("click", () => {
      this._dialog.close();
      this._show((message) => contentOf(message)?.params?._meta?.progressToken === this._token);
    });
    addEventListener("pagehide", () => this._session?.end());
  }

  /** `names`: of the servers. */
  open(names) {
    const before = $("server").value;
    $("server").replaceChildren(...[ALL, ...names].map((name) => {
      const option = outside(shorten(name, 100), "", "option");
      option.value = name;
      return option;
    }));
    $("server").value = [ALL, ...names].includes(before) ? before : ALL;
    this._dialog.showModal();
    if (!this._session) this._begin();
  }

  async _begin() {
    this._session?.end();
    const name = $("server").value;
    const session = new ToolSession(name === ALL ? "mcp" : `mcp/${encodeURIComponent(name)}`);
    this._session = session;
    this._list([]);
    tell("Connecting…");
    try {
      await session.begin();
      const tools = await session.tools();
      if (this._session !== session) return;  // another server was chosen meanwhile
      this._list(tools);
      tell(tools.length ? "" : "There are no tools here.");
    } catch (problem) {
      if (this._session !== session) return;
      this._session = null;  // the next opening tries again
      tell(problem);
    }
  }

  _list(tools) {
    this._tools = tools;
    $("name").replaceChildren(...tools.map(({name}) => outside(shorten(name, 100), "", "option")));
    this._choose();
  }

  _choose() {
    const tool = this._tools[$("name").selectedIndex];
    $("about").replaceChildren(outside(shorten(String(tool?.description ?? ""), 1000)));
    const [fields, read] = fieldsFor(tool?.inputSchema);
    $("fields").replaceChildren(...fields);
    this._arguments = read;
    $("form").querySelector("[type=submit]").disabled = !tool;
    $("answer").hidden = true;
    tell("");
  }

  async _call() {
    const [submit, tool] = [$("form").querySelector("[type=submit]"),
                            this._tools[$("name").selectedIndex]];
    const session = this._session;
    try {
      const given = this._arguments();
      this._token = `live-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
      $("answer").hidden = true;
      tell("Calling…");
      [submit.disabled, $("cancel").disabled, $("show").disabled] = [true, false, false];
      const result = await session.request("tools/call", {
        name: tool.name, arguments: given, _meta: {progressToken: this._token}}, progress);
      tell(result.isError ? new Error("The tool says that it failed:") : "The answer:");
      $("answer").textContent = visible(shorten(textOf(result), MOST_SHOWN), "\n\t");
      $("answer").hidden = false;
    } catch (problem) {
      tell(problem);
    } finally {
      [submit.disabled, $("cancel").disabled] = [false, true];
    }
  }
}

/** Show a sentence, or a problem, below the form. */
function tell(what) {
  $("status").className = what instanceof Error ? "problem" : "";
  $("status").replaceChildren(outside(shorten(what instanceof Error ? what.message : what, 1000)));
}

function progress({progress: done, total, message}) {
  tell(`${done}${total === undefined ? "" : ` of ${total}`} ${message ?? ""}`);
}

/** What a result says, as text; what is no text is only named. */
function textOf(result) {
  const parts = Array.isArray(result.content) ? result.content : [];
  const texts = parts.map((part) => typeof part?.text === "string" ? part.text
    : `[${part?.type}: ${part?.mimeType ?? part?.uri ?? ""} ${
      part?.data ? bytes(part.data.length) : ""}]`);
  if (!texts.length || result.structuredContent) texts.push(indented(JSON.stringify(result)));
  return texts.join("\n");
}
