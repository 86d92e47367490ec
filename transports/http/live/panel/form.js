// A form made from a schema: of a tool's arguments, or of what a server asks. What has a simple
// type gets a field of that type; everything else is written as JSON, with a skeleton of what the
// schema wants, since there is no kind of schema that JSON cannot answer.

import {button, make, outside, parseAsSent, shorten} from "../text.js";
import {resolve, skeleton} from "./schema.js";

const MOST_FIELDS = 100, MOST_VALUES = 500;
const LEFT_OUT = "(left out)";

/** A form in a box. `show` draws it anew. */
export class Form {
  constructor(box) {
    this._box = box;
    this.show();
  }

  /** The fields for this schema, of an object; filled with what is `given`, if anything is. */
  show(schema, given) {
    this._schema = schema ?? {};
    this._fields = fieldsOf(this._schema);
    if (!this._fields || given !== undefined && !this._write(given)) {
      this._asJson(given);
      return;
    }
    this._draw(this._fields.map((one) => one.element), "Write it as JSON",
               this._fields.length > 0 || this._schema.additionalProperties !== false,
               () => this._asJson(this._tryToRead()));
  }

  /** What was typed. Throws an Error, in words for a person, if that is not valid. */
  read() {
    if (!this._fields) {
      const given = this._whole.read();
      if (given === null || typeof given !== "object" || Array.isArray(given)
          || JSON.isRawJSON?.(given)) {
        throw new Error("The arguments must be an object: {…}");
      }
      return given;
    }
    const given = this._fields.map(({name, read}) => [name, read()]);
    return Object.fromEntries(given.filter(([, value]) => value !== undefined));
  }

  _tryToRead() {
    try {
      return this.read();
    } catch {
      return undefined;
    }
  }

  /** False if the fields cannot show this. */
  _write(given) {
    const known = new Map(this._fields.map((one) => [one.name, one]));
    return given !== null && typeof given === "object"
      && Object.keys(given).every((name) => known.has(name))
      && this._fields.every(({name, write}) => write(given[name]));
  }

  _asJson(given) {
    const preset = given ?? skeleton(this._schema);
    this._whole = field("arguments", {type: "object"}, true, this._schema);
    this._whole.write(preset && typeof preset === "object" ? preset : {});
    const isPossible = fieldsOf(this._schema) !== null;
    this._fields = null;
    this._draw([this._whole.element], "Show it as fields", isPossible, () => {
      const typed = this._tryToRead();
      this.show(this._schema, typed);
    });
  }

  _draw(elements, other, isPossible, act) {
    const change = button(other, act);
    change.className = "plain";
    this._box.replaceChildren(...elements, isPossible ? change : "");
  }
}

/** The fields of an object's properties; null if there must be one for all of it. */
function fieldsOf(schema) {
  const whole = resolve(schema, schema);
  const properties = Object.entries(whole.properties ?? {});
  if (properties.length > MOST_FIELDS || whole.anyOf || whole.oneOf || whole.allOf
      || !properties.length && whole.additionalProperties) return null;
  const required = new Set(Array.isArray(whole.required) ? whole.required : []);
  return properties.map(([name, one]) => field(name, one ?? {}, required.has(name), schema));
}

/** {name, element, read(), write(value)}: read gives the value, or undefined if it is left out;
 * write says whether it could show the value. */
function field(name, schema, required, root) {
  const one = resolve(schema, root);
  const [input, read, write, ...more] = inputFor(name, one, required,
                                                  () => skeleton(schema, root));
  const label = make("label", "field", make("span", "", outside(shorten(name, 100)),
    required ? make("b", "", " required") : ""), input);
  if (typeof one.description === "string") {
    label.append(outside(shorten(one.description, 500), "quiet", "small"));
  }
  return {name, read, write, element: more.length ? make("div", "field", label, ...more) : label};
}

function inputFor(name, schema, required, shape) {
  const values = choices(schema);
  if (values) return choice(values, schema, required);
  if (schema.type === "number" || schema.type === "integer") return number(schema, required);
  if (schema.type === "array" && choices(schema.items)) return several(schema, required);
  return text(name, schema, required, shape);
}

/** [[value, its title]] of a schema that allows only some values; else null. */
function choices(schema) {
  if (schema?.type === "boolean") return [[true, "true"], [false, "false"]];
  if (schema && "const" in schema && !schema.title) return [[schema.const, written(schema.const)]];
  if (Array.isArray(schema?.enum)) {
    return schema.enum.slice(0, MOST_VALUES).map(
      (value, at) => [value, schema.enumNames?.[at] ?? written(value)]);
  }
  const titled = schema?.oneOf ?? schema?.anyOf;
  return Array.isArray(titled) && titled.length && titled.every((one) => one && "const" in one)
    ? titled.slice(0, MOST_VALUES).map((one) => [one.const, one.title ?? written(one.const)]) : null;
}

function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function option([, title]) {
  return outside(shorten(String(title), 200), "", "option");
}

function choice(values, schema, required) {
  const input = make("select");
  if (!required) input.append(make("option", "", LEFT_OUT));
  const skipped = required ? 0 : 1;
  input.append(...values.map(option));
  function write(value) {
    const at = values.findIndex(([one]) => same(one, value));
    input.selectedIndex = at < 0 ? 0 : at + skipped;
    return at >= 0 || value === undefined && !required;
  }
  write(schema.default);
  return [input, () => values[input.selectedIndex - skipped]?.[0], write];
}

function several(schema, required) {
  const values = choices(schema.items), input = make("select");
  input.multiple = true;
  input.size = Math.min(values.length, 6);
  input.append(...values.map(option));
  function write(given = []) {
    const isKnown = Array.isArray(given)
      && given.every((value) => values.some(([one]) => same(one, value)));
    for (const [at, each] of [...input.options].entries()) {
      each.selected = isKnown && given.some((value) => same(values[at][0], value));
    }
    return isKnown;
  }
  write(schema.default);
  return [input, () => {
    const chosen = values.filter((_, at) => input.options[at].selected).map(([value]) => value);
    return chosen.length || required ? chosen : undefined;
  }, write];
}

function number(schema, required) {
  const input = make("input");
  Object.assign(input, {type: "number", required, value: schema.default ?? "",
                        step: schema.type === "integer" ? 1 : "any"});
  for (const [key, attribute] of [["minimum", "min"], ["maximum", "max"]]) {
    if (typeof schema[key] === "number") input[attribute] = schema[key];
  }
  return [input, () => input.value === "" ? undefined : numberIn(input.value), (value) => {
    input.value = value === undefined ? "" : JSON.stringify(value);
    return value === undefined || input.value !== "";
  }];
}

/** As it was typed, 1.0 as well. */
function numberIn(text) {
  try {
    return parseAsSent(text);
  } catch {
    return Number(text);    // as .5, which is no JSON
  }
}

/** Strings, and everything else as JSON, of this shape. */
function text(name, schema, required, shape) {
  const input = make("textarea"), isString = schema.type === "string";
  const kind = {email: "email", uri: "url", date: "date"}[schema.format];
  Object.assign(input, {rows: isString ? 1 : 3, required: required && schema.default !== ""});
  if (schema.maxLength > 0) input.maxLength = schema.maxLength;
  input.placeholder = isString ? kind ?? "" : "JSON";
  function write(value) {
    input.value = value === undefined ? "" : isString && typeof value === "string" ? value
      : JSON.stringify(value, null, 2);
    if (!isString) input.rows = Math.min(12, Math.max(3, input.value.split("\n").length));
    // An empty field leaves it out, or must be filled: "" itself has to be written as JSON.
    return !isString || value === undefined || typeof value === "string" && value !== "";
  }
  const wanted = isString ? undefined : shape();
  const isNested = wanted !== null && typeof wanted === "object" && JSON.stringify(wanted) !== "{}";
  write(schema.default !== undefined ? schema.default : required && isNested ? wanted : undefined);
  const fill = button("Fill in a skeleton", () => {
    write(wanted);
    input.focus();
  });
  fill.className = "plain";
  return [input, () => {
    if (input.value === "" && !required) return undefined;
    if (isString) return input.value;
    try {
      return parseAsSent(input.value);
    } catch (problem) {
      input.focus();
      throw new Error(`${name}: this is not JSON: ${problem.message}`);
    }
  }, write, ...(isNested ? [fill] : [])];
}
