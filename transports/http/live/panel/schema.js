// What a JSON Schema says, as far as a form needs it. A schema comes from outside: it may refer to
// itself, and be as deep and wide as it likes.

const DEEPEST = 6, MOST_STEPS = 20, MOST_VALUES = 200;

/** The schema that a $ref within the root stands for, or one of which all parts are one. */
export function resolve(schema, root) {
  let found = schema;
  for (let step = 0; step < MOST_STEPS && typeof found?.$ref === "string"; step += 1) {
    const {$ref, ...more} = found;
    const target = $ref === "#" ? root : $ref.startsWith("#/") ? $ref.slice(2).split("/").reduce(
      (at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root) : undefined;
    if (!target || typeof target !== "object") return more;
    found = {...target, ...more};
  }
  const parts = found?.anyOf ?? found?.oneOf;
  if (Array.isArray(parts)) {    // "or null" is how some say that it may be left out
    const others = parts.filter((one) => one?.type !== "null");
    if (others.length === 1 && others.length < parts.length) {
      const {anyOf, oneOf, ...more} = found;
      return resolve({...others[0], ...more}, root);
    }
  }
  if (Array.isArray(found?.type)) {
    const [type, ...others] = found.type.filter((one) => one !== "null");
    return others.length ? {...found, type: undefined} : {...found, type};
  }
  return found && typeof found === "object" ? found : {};
}

/** A value of the shape that the schema wants, to be filled in. */
export function skeleton(schema, root = schema) {
  let left = MOST_VALUES;
  const within = [];    // the schemas that are being followed: one in itself is left out
  function valueOf(one, depth) {
    const found = resolve(one, root);
    left -= 1;
    within.push(one?.$ref);
    const value = shapeOf(found, depth);
    within.pop();
    return value;
  }
  function shapeOf(found, depth) {
    if (found.default !== undefined) return found.default;
    if ("const" in found) return found.const;
    if (Array.isArray(found.enum)) return found.enum[0];
    if (Array.isArray(found.examples) && found.examples.length) return found.examples[0];
    const parts = found.anyOf ?? found.oneOf ?? found.allOf;
    if (Array.isArray(parts) && !found.properties && depth < DEEPEST) {
      return valueOf(parts[0], depth + 1);
    }
    const type = found.type ?? (found.properties ? "object" : found.items ? "array" : undefined);
    if (type === "object") return objectOf(found, depth);
    if (type === "array") return found.items && depth < DEEPEST && left > 0
      && !within.includes(found.items.$ref ?? NaN) ? [valueOf(found.items, depth + 1)] : [];
    return {string: "", number: found.minimum ?? 0, integer: found.minimum ?? 0,
            boolean: false}[type] ?? null;
  }
  function objectOf(found, depth) {
    const pairs = [];   // not an object: a name may be __proto__
    for (const [name, one] of Object.entries(found.properties ?? {})) {
      if (depth >= DEEPEST || left <= 0) break;
      if (one && !(one.$ref && within.includes(one.$ref))) {
        pairs.push([name, valueOf(one, depth + 1)]);
      }
    }
    return Object.fromEntries(pairs);
  }
  return valueOf(schema ?? {}, 0);
}
