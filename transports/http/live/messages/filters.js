// The filters above the lists. They apply to what is shown: the words of a row, and what its
// messages say with letters in place of their escapes. A message stays if its call does as to
// server and client, so both halves of a call stay together.

import {outside, plain, shorten, shortName} from "../text.js";

const $ = (id) => document.getElementById(id);
const SELECTS = ["server", "client", "method"];

export class Filters {
  /** changed() is called when a person has changed one. */
  constructor(changed) {
    this._changed = changed;
    this._texts = new WeakMap();  // entry → {version, wanted, is it}
    this.read();
    for (const id of [...SELECTS, "error"]) {
      $(`by-${id}`).addEventListener("change", () => this.read(changed));
    }
    $("by-text").addEventListener("input", () => this.read(changed));
    $("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  read(then = () => {}) {
    this._wanted = {};
    for (const name of SELECTS) this._wanted[name] = $(`by-${name}`).value;
    this._errors = $("by-error").checked;
    this._words = wordsOf($("by-text").value);
    this._text = $("by-text").value;
    then();
  }

  /** Show only what has this value: only("server", "time"). */
  only(name, value) {
    const select = $(`by-${name}`);
    addOption(select, value, value);
    select.value = value;
    this.read(this._changed);
  }

  reset() {
    for (const name of SELECTS) $(`by-${name}`).value = "";
    $("by-error").checked = false;
    $("by-text").value = "";
    this.read(this._changed);
  }

  lets(entry) {
    return this._letsServer(entry) && this._letsClient(entry) && this._letsMethod(entry)
      && (!this._errors || isBad(entry)) && (!this._words.length || this._letsText(entry));
  }

  _letsServer(entry) {
    const wanted = this._wanted.server;
    return !wanted || entry.server === wanted || Boolean(
      (entry.isCall ? entry : entry.belongs)?.servers.includes(wanted));
  }

  _letsClient(entry) {
    const wanted = this._wanted.client;
    if (!wanted) return true;
    if (entry.isLine) return entry.level === "mark";
    return [nameOfClient(entry), entry.session].includes(wanted);
  }

  _letsMethod(entry) {
    return !this._wanted.method || entry.method === this._wanted.method;
  }

  _letsText(entry) {
    const known = this._texts.get(entry);
    if (known && known.text === this._text && known.version === entry.version) return known.is;
    const text = textOf(entry).toLowerCase();
    const is = this._words.every(({word, isNot}) => text.includes(word) !== isNot);
    this._texts.set(entry, {text: this._text, version: entry.version, is});
    return is;
  }

  /** Offer what there is. */
  draw(entries) {
    const there = {server: new Map(), client: new Map(), method: new Map()};
    const sessions = new Map();  // client → its sessions
    for (const entry of entries) {
      if (entry.server) there.server.set(entry.server, entry.server);
      if (entry.isLine) continue;
      there.method.set(entry.method, entry.method);
      const client = nameOfClient(entry);
      if (!client) continue;
      there.client.set(client, client);
      if (entry.session?.startsWith("session ")) {
        if (!sessions.has(client)) sessions.set(client, new Set());
        sessions.get(client).add(entry.session);
      }
    }
    for (const [client, names] of sessions) {
      for (const name of names.size > 1 ? names : []) {
        there.client.set(name, `${client} (${shortName(name)})`);
      }
    }
    for (const [name, values] of Object.entries(there)) offer($(`by-${name}`), values);
  }
}

/** The name of the client of a message or a call; that of its session if it has none. */
export function nameOfClient(entry) {
  return entry.client ?? entry.belongs?.client ?? entry.session ?? "";
}

function isBad(entry) {
  return entry.isCall ? entry.hasFailed : entry.isLine ? ["error", "critical"].includes(entry.level)
    : Boolean(entry.failed || entry.belongs?.hasFailed);
}

/** What is shown of an entry, and all that it says. */
function textOf(entry) {
  if (entry.isLine) return `${entry.server ?? ""} ${entry.text}`;
  if (!entry.isCall) return `${nameOfClient(entry)} ${entry.server ?? ""} ${entry.method ?? ""} ${
    entry.name ?? ""} ${said(entry)}`;
  return `${entry.client ?? ""} ${entry.servers.join(" ")} ${entry.title} ${entry.status} ${
    entry.argumentsLine} ${entry.messages.map(said).join(" ")}`;
}

function said(message) {
  return plain(message.whole ?? message.text).replaceAll('\\"', '"').replaceAll("\\n", "\n");
}

/** [{word, isNot}]: `one -two "three four"` has three. */
function wordsOf(text) {
  return Array.from(text.toLowerCase().matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g),
                    ([, minus, phrase, word]) => ({word: phrase ?? word, isNot: minus === "-"}))
    .filter(({word}) => word);
}

function offer(select, values) {
  const known = new Set();
  for (const option of [...select.options].slice(1)) {
    if (values.has(option.value) || option.selected) known.add(option.value);
    else option.remove();
  }
  for (const [value, label] of values) if (value && !known.has(value)) addOption(select, value, label);
}

function addOption(select, value, label) {
  if (Array.from(select.options).some((option) => option.value === value)) return;
  select.append(outside(shorten(label, 60), "", "option"));
  select.lastChild.value = value;
}
