// The last tries, newest first: what was asked, how that went, and a way back to it. They are kept
// in memory only, since arguments and answers may be secret.

import {button, clockTime, lines, make, outside, shorten} from "../text.js";

const KEPT = 30;
const LONGEST_ANSWER = 50_000;  // characters; of a longer one only the arguments are kept

export class Tries {
  /** again(try) is called when one is chosen. */
  constructor(list, again) {
    this._list = list;
    this._again = again;
  }

  /** {at, kind, name, given, time, failed, status, answer}: see Try. */
  add(one) {
    const isLong = JSON.stringify(one.answer)?.length > LONGEST_ANSWER;
    const kept = isLong ? {...one, answer: null} : one;
    const row = button("", () => this._again(kept));
    row.append(make("span", "time", clockTime(one.time).slice(0, 8)), " ",
               outside(shorten(one.name, 60), "method"), " ",
               outside(shorten(JSON.stringify(one.given), 100), "given"), make("br"),
               lines(shorten(one.status.replace(/:$/, ""), 100), one.failed ? "problem" : "quiet"));
    this._list.prepend(make("li", "", row));
    if (this._list.children.length > KEPT) this._list.lastChild.remove();
    this._list.parentElement.hidden = false;
  }
}
