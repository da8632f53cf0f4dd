// What is looked for, and its place in the address bar: a search can be shared, reloaded and gone back to.

/** `chosen` maps a field to `{values: [...]}` or `{least, most}`; `like` is the id of an item. */
export function emptyState() {
  return { text: "", lang: "", like: "", collection: "", chosen: new Map() };
}

export function readAddress() {
  const state = emptyState();
  const given = new URLSearchParams(location.search);
  state.text = given.get("q") ?? "";
  state.lang = given.get("lang") ?? "";
  state.like = given.get("like") ?? "";
  state.collection = given.get("c") ?? "";
  for (const [name, written] of given) {
    if (!name.startsWith("f.")) continue;
    const choice = readChoice(written);
    if (choice) state.chosen.set(name.slice(2), choice);
  }
  return state;
}

export function writeAddress(state, asNew) {
  const written = new URLSearchParams();
  if (state.text) written.set("q", state.text);
  if (state.lang) written.set("lang", state.lang);
  if (state.like) written.set("like", state.like);
  if (state.collection) written.set("c", state.collection);
  for (const [name, choice] of state.chosen) written.set(`f.${name}`, JSON.stringify(choice));
  const address = `${location.pathname}${written.size ? `?${written}` : ""}`;
  if (address === `${location.pathname}${location.search}`) return;
  if (asNew) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

function readChoice(written) {
  try {
    const found = JSON.parse(written);
    const scalar = (value) => ["string", "number", "boolean"].includes(typeof value);
    if (Array.isArray(found?.values) && found.values.every(scalar)) return { values: found.values };
    const { least = null, most = null } = found ?? {};
    const numeric = [least, most].every((value) => value === null || Number.isFinite(value));
    return numeric && (least !== null || most !== null) ? { least, most } : null;
  } catch {
    return null; // somebody's own address
  }
}

/** The filter of the service for what is chosen, or "". */
export function filterText(chosen) {
  const parts = [];
  for (const [name, choice] of chosen) {
    const field = quoted(name);
    if (choice.values) {
      parts.push(`${field} in (${choice.values.map(literal).join(", ")})`);
      continue;
    }
    if (choice.least !== null) parts.push(`${field}>=${choice.least}`);
    if (choice.most !== null) parts.push(`${field}<=${choice.most}`);
  }
  return parts.join(" and ");
}

function literal(value) {
  return typeof value === "string" ? quoted(value) : String(value);
}

function quoted(text) {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}
