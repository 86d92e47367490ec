// The kinds of things that can be tried: how each is named, what it needs, and how it is asked for.

export const KINDS = {tools: "Tools", prompts: "Prompts", resources: "Resources",
                      templates: "Resource templates"};
export const METHODS = {"tools/call": "tools", "prompts/get": "prompts",
                        "resources/read": "resources"};
export const VERBS = {tools: "Call", prompts: "Get", resources: "Read", templates: "Read"};

/** Whether this message of a client can be tried again. */
export function canBeTried(message) {
  return message?.place === "from client" && message.kind === "request"
    && message.method in METHODS;
}

export function nameOf(kind, item) {
  return String(kind === "resources" ? item.uri : kind === "templates" ? item.uriTemplate
    : item.name);
}

/** The schema of what is asked for. */
export function schemaOf(kind, item) {
  if (kind === "prompts") {
    const wanted = (Array.isArray(item.arguments) ? item.arguments : []).filter((one) => one?.name);
    return {properties: Object.fromEntries(wanted.map(({name, description}) => [
      name, {type: "string", description}])), additionalProperties: false,
            required: wanted.filter((one) => one.required).map((one) => one.name)};
  }
  if (kind === "templates") {
    return {properties: {uri: {type: "string", default: item.uriTemplate, description:
      "Put values in place of {…}."}}, required: ["uri"], additionalProperties: false};
  }
  return kind === "tools" ? item.inputSchema : {additionalProperties: false};
}

/** [method, params]; the progress token tells its messages from others. */
export function requestFor(kind, item, given, token) {
  const _meta = {progressToken: token};
  if (kind === "tools") return ["tools/call", {name: item.name, arguments: given, _meta}];
  if (kind === "prompts") return ["prompts/get", {name: item.name, arguments: given, _meta}];
  return ["resources/read", {uri: kind === "resources" ? item.uri : given.uri, _meta}];
}
