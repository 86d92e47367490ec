// What can be done with the call that is open: try it again, copy it.

import {canBeTried} from "../panel/kinds.js";
import {copies} from "./take_away.js";
import {ask, hasToken} from "../http.js";
import {pathOf} from "../panel/session.js";
import {button} from "../text.js";

const MOST_SESSIONS = 2000;

export class CallTools {
  /** again(text, at, run) tries a request again, now if `run`, else when it has been edited. */
  constructor(box, again) {
    this._box = box;
    this._again = again;
    this._url = "";
    this._surfaces = new Map();     // session → the server or group that it sees
    this._names = new Set();        // of servers and groups
    this._drawn = [];
  }

  connected(url, run) {
    [this._url, this._run] = [url, run];
  }

  state({servers, groups, sessions}) {
    this._names = new Set([...servers.map((server) => server.name), ...Object.keys(groups)]);
    for (const {name, surface} of sessions) {
      this._surfaces.set(name, surface);
      if (this._surfaces.size > MOST_SESSIONS) {
        this._surfaces.delete(this._surfaces.keys().next().value);
      }
    }
  }

  /** A Call or null, a message or null, and a function that has the text of a message. The buttons
   * stay the same elements while they do the same. */
  show(call, message, textOf) {
    const request = call?.messages.find((one) => one.place === "from client"
      && one.kind === "request");
    const drawn = [call, message, request, call?.size, call?.end];
    if (drawn.every((one, at) => one === this._drawn[at])) return;
    this._drawn = drawn;
    if (!call && !message) {
      this._box.replaceChildren();
      return;
    }
    // When it is pressed: the surface of a session is told a moment after its first call.
    const at = () => request ? this._placeOf(request, call) : null;
    const whole = (one) => this._wholeOf(one, textOf);
    const tries = canBeTried(request) ? [["Try again", true], ["Edit", false]].map(
      ([name, run]) => button(name, async () => this._again(await whole(request), at(), run))) : [];
    this._box.replaceChildren(...tries, copies(
      call ? call.messages : [message], message, whole, () => `${this._url}/${pathOf(at())}`,
      hasToken()));
  }

  /** All of a message that was cut, or what there is of it. */
  async _wholeOf(message, textOf) {
    const known = textOf(message);
    if (!message.cut || known !== message.text) return known;
    const response = await ask(`live/whole/${encodeURIComponent(message.run ?? this._run)}/${
      message.n}`);
    return response.ok ? response.text() : known;
  }

  /** The server or group where a client has asked this, or null: all together. A request of a
   * modern client belongs to no session that lasts: then the names tell. */
  _placeOf(request, call) {
    const known = this._surfaces.get(request.session);
    if (known !== undefined) return known;
    const [server] = call.servers;
    return call.servers.length === 1 && request.name === call.nameAtServer
      && this._names.has(server) ? server : null;
  }
}
