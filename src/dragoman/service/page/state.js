// What is looked for, and its place in the address bar: a search can be shared, reloaded and gone back to.

/** `chosen` maps a field to `{values: [...]}` or `{least, most}`; `like` and `item` are ids; `ui` is a language of the page
 * that the address asked for. */
export function emptyState() {
  return { text: "", lang: "", like: "", collection: "", item: "", ui: "", chosen: new Map() };
}

const NAMES = { q: "text", lang: "lang", like: "like", c: "collection", item: "item", ui: "ui" };

export function readAddress() {
  const state = emptyState();
  const given = new URLSearchParams(location.search);
  for (const [name, field] of Object.entries(NAMES)) state[field] = given.get(name) ?? "";
  for (const [name, written] of given) {
    if (!name.startsWith("f.")) continue;
    const choice = readChoice(written);
    if (choice) state.chosen.set(name.slice(2), choice);
  }
  return state;
}

/** The address of a state, for a link or the address bar. */
export function addressOf(state) {
  const written = new URLSearchParams();
  for (const [name, field] of Object.entries(NAMES)) if (state[field]) written.set(name, state[field]);
  for (const [name, choice] of state.chosen) written.set(`f.${name}`, JSON.stringify(choice));
  return `${location.pathname}${written.size ? `?${written}` : ""}`;
}

/** Put a state into the address bar, `asNew` as a step that Back undoes. */
export function writeAddress(state, asNew) {
  const address = addressOf(state);
  if (address === `${location.pathname}${location.search}`) return;
  if (asNew) history.pushState({ ours: true }, "", address);
  else history.replaceState(history.state, "", address);
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
