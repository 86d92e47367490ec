// A form made from a tool's inputSchema. What has a simple type gets a field of that type;
// everything else is written as JSON, since there is no kind of schema that JSON cannot answer.

import {make, outside, shorten} from "./text.js";

const MOST_FIELDS = 100;
const LEFT_OUT = "(left out)";

/** (elements for the form, a function that reads the arguments from them).
 * That throws an Error, in words for a person, if what was typed is not valid. */
export function fieldsFor(schema) {
  const properties = Object.entries(schema?.properties ?? {});
  if (properties.length > MOST_FIELDS || schema?.$ref || schema?.anyOf || schema?.oneOf) {
    const whole = field("arguments", {type: "object", default: {}}, true);
    return [[whole.element], whole.read];
  }
  const required = new Set(Array.isArray(schema?.required) ? schema.required : []);
  const fields = properties.map(([name, one]) => [name, field(name, one ?? {}, required.has(name))]);
  return [fields.map(([, one]) => one.element), () => {
    const given = fields.map(([name, one]) => [name, one.read()]);
    return Object.fromEntries(given.filter(([, value]) => value !== undefined));
  }];
}

/** {element, read()}: read gives the value, or undefined if it is left out. */
function field(name, schema, required) {
  const [input, read] = inputFor(name, schema, required);
  const label = make("label", "field", make("span", "", outside(shorten(name, 100)),
    required ? make("b", "", " required") : ""), input);
  if (typeof schema.description === "string") {
    label.append(outside(shorten(schema.description, 500), "quiet", "small"));
  }
  return {element: label, read};
}

function inputFor(name, schema, required) {
  const values = Array.isArray(schema.enum) ? schema.enum
    : schema.type === "boolean" ? [true, false] : null;
  if (values) return choice(values.slice(0, 500), schema, required);
  if (schema.type === "number" || schema.type === "integer") return number(schema, required);
  return text(name, schema, required);
}

function choice(values, schema, required) {
  const input = make("select");
  if (!required) input.append(make("option", "", LEFT_OUT));
  const skipped = required ? 0 : 1;
  for (const value of values) {
    input.append(outside(typeof value === "string" ? value : JSON.stringify(value), "", "option"));
  }
  const preset = values.indexOf(schema.default);
  input.selectedIndex = preset < 0 ? 0 : preset + skipped;
  return [input, () => values[input.selectedIndex - skipped]];
}

function number(schema, required) {
  const input = make("input");
  Object.assign(input, {type: "number", required, value: schema.default ?? "",
                        step: schema.type === "integer" ? 1 : "any"});
  for (const [key, attribute] of [["minimum", "min"], ["maximum", "max"]]) {
    if (typeof schema[key] === "number") input[attribute] = schema[key];
  }
  return [input, () => input.value === "" ? undefined : Number(input.value)];
}

/** Strings, and everything else as JSON. */
function text(name, schema, required) {
  const input = make("textarea"), isString = schema.type === "string";
  Object.assign(input, {rows: isString ? 1 : 3, required: required && !isString});
  if (!isString) input.placeholder = "JSON";
  if (schema.default !== undefined) {
    input.value = isString ? schema.default : JSON.stringify(schema.default, null, 2);
  }
  return [input, () => {
    if (input.value === "" && !required) return undefined;
    if (isString) return input.value;
    try {
      return JSON.parse(input.value);
    } catch (problem) {
      input.focus();
      throw new Error(`${name}: this is not JSON: ${problem.message}`);
    }
  }];
}
