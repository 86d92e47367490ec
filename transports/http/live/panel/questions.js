// What servers ask the page while it tries something (2025-11-25, Client Features): a form for an
// elicitation, an answer typed by hand for a sampling, and the roots that were written down.

import {button, indented, make, outside, shorten} from "../text.js";
import {Form} from "./form.js";

const MOST_SHOWN = 20_000;  // characters
const MOST = 20;    // questions at the same time
const REJECTED = {error: {code: -1, message: "The user rejected the request."}};

export const CAPABILITIES = {elicitation: {form: {}, url: {}}, sampling: {},
                             roots: {listChanged: true}};

export class Questions {
  /** They are asked in this box; roots() gives the URIs of the roots. */
  constructor(box, roots) {
    this._box = box;
    this._roots = roots;
    this._open = new Map();     // form → what ends its question
  }

  /** A promise of {result} or {error}; `back` is kept when the server takes the question back. */
  ask({method, params, back}) {
    if (method === "roots/list") {
      return Promise.resolve({result: {roots: this._roots().map((uri) => ({uri}))}});
    }
    const formFor = {"elicitation/create": elicitation,
                     "sampling/createMessage": sampling}[method];
    if (!formFor) {
      return Promise.resolve({error: {code: -32601, message: `Not known here: ${method}`}});
    }
    if (this._box.children.length >= MOST) return Promise.resolve(REJECTED);
    return new Promise((resolve) => {
      const done = (said) => {
        form.remove();
        this._open.delete(form);
        resolve(said);
      };
      const form = formFor(params, done);
      this._open.set(form, done);
      back.then(() => done(null));
      this._box.append(form);
      form.scrollIntoView({block: "nearest"});
      form.querySelector("input, textarea, select, button").focus();
    });
  }

  /** Nobody waits for answers any more. */
  clear() {
    for (const done of this._open.values()) done(REJECTED);
  }
}

function elicitation(params, done) {
  const isUrl = params.mode === "url", fields = make("div");
  const form = question("The server asks:", params.message, isUrl ? address(params.url) : fields);
  const values = isUrl ? null : new Form(fields);
  values?.show(params.requestedSchema);
  submit(form, isUrl ? "I have done that" : "Send", () => done({result: {
    action: "accept", ...(isUrl ? {} : {content: values.read()})}}));
  form.append(button("Decline", () => done({result: {action: "decline"}})),
              button("Dismiss", () => done({result: {action: "cancel"}})));
  return form;
}

/** It comes from outside, so only a click opens it, and nothing but a web page. */
function address(url) {
  const isWeb = /^https?:\/\//i.test(String(url));
  return make("p", "", outside(shorten(String(url), 2000), "uri"), " ", isWeb
    ? button("Open it", () => open(url, "_blank", "noopener,noreferrer")) : "");
}

function sampling(params, done) {
  const text = make("textarea");
  Object.assign(text, {rows: 4, required: true});
  text.setAttribute("aria-label", "What the model says");
  const asked = (Array.isArray(params.messages) ? params.messages : []).map(
    ({role, content}) => `${role}: ${typeof content?.text === "string" ? content.text
      : indented(JSON.stringify(content ?? null))}`);
  const said = outside("", "", "pre");
  said.textContent = shorten([params.systemPrompt && `system: ${params.systemPrompt}`, ...asked]
    .filter(Boolean).join("\n"), MOST_SHOWN);
  const form = question("The server asks a model. Be it:", "", said, text);
  submit(form, "Answer", () => done({result: {
    role: "assistant", content: {type: "text", text: text.value}, model: "typed by hand",
    stopReason: "endTurn"}}));
  form.append(button("Refuse", () => done(REJECTED)));
  return form;
}

function question(title, message, ...elements) {
  const form = make("form", "question", make("h3", "", title), make("p", "", outside(
    shorten(String(message ?? ""), MOST_SHOWN))), ...elements, make("p", "problem"));
  form.autocomplete = "off";
  return form;
}

function submit(form, name, act) {
  const send = button(name, () => {});
  send.type = "submit";
  form.append(send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      act();
    } catch (problem) {
      form.querySelector(".problem").textContent = problem.message;
    }
  });
}
