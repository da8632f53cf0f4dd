// The service, as the page asks it. Addresses are relative to the page, so that a proxy may put both anywhere.

const KEY = "dragoman-key";
const TAKES = { true: { accept: "text/csv" }, false: { accept: "application/json" } };

/** An answer that is no success: `status`, and the problem that the service tells. Status 0: no answer at all. */
export class Refusal extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? "");
    this.status = status;
    this.problem = problem;
  }
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}

function address(path) {
  return new URL(path.replace(/^\//, ""), document.baseURI.split(/[?#]/)[0]);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(address(path), { ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0);
  }
  if (response.ok) return response;
  throw new Refusal(response.status, await response.json().catch(() => ({})));
}

export async function collections() {
  return (await (await ask("v1/collections")).json()).collections;
}

export async function collection(name) {
  return (await ask(`v1/collections/${encodeURIComponent(name)}`)).json();
}

/** Items by id, from a cursor on; as a table where that is wanted. */
export async function items(name, filter, limit, cursor, signal, table = false) {
  const wanted = new URLSearchParams({ collection: name, limit });
  if (filter) wanted.set("filter", filter);
  if (cursor) wanted.set("cursor", cursor);
  const response = await ask(`v1/items?${wanted}`, { signal, headers: TAKES[table] });
  return table ? response.blob() : response.json();
}

export async function item(id, name) {
  return (await ask(`v1/items/${encodeURIComponent(id)}?${new URLSearchParams({ collection: name })}`)).json();
}

function captionPath(id, lang, name) {
  return `v1/items/${encodeURIComponent(id)}/captions/${encodeURIComponent(lang)}?${new URLSearchParams({ collection: name })}`;
}

/** The caption of an item in a language, and whether somebody corrected it. */
export async function caption(id, lang, name) {
  return (await ask(captionPath(id, lang, name))).json();
}

/** Correct a caption; returns the item as it is then. */
export async function correct(id, lang, text, name) {
  const [headers, body] = [{ "content-type": "application/json" }, JSON.stringify({ text })];
  return (await ask(captionPath(id, lang, name), { method: "PUT", headers, body })).json();
}

export async function takeBack(id, lang, name) {
  await ask(captionPath(id, lang, name), { method: "DELETE" });
}

/** What a file is to a search: "image", "video", or null. */
export function kindOf(file) {
  // Not every browser knows every container.
  if (!file.type && /\.(mkv|mp4|m4v|mov|webm|avi|mpe?g|m?ts|m2ts|wmv|asf|flv|ogv|3gp|mxf)$/i.test(file.name)) return "video";
  return file.type.match(/^(image|video)\//)?.[1] ?? null;
}

/** `asked` has the fields of a search; `media` is a photo or a video, or null, and `speech` a sound file or null. The answer
 * is a table where wanted. */
export async function search(asked, media, signal, table = false, speech = null) {
  const wanted = Object.entries(asked).filter(([, value]) => value !== "" && value !== null);
  let [body, headers] = [JSON.stringify(Object.fromEntries(wanted)), { "content-type": "application/json" }];
  if (media || speech) {
    [body, headers] = [new FormData(), {}];
    for (const [name, value] of wanted) body.append(name, value);
    if (media) body.append(kindOf(media), media, "media");
    if (speech) body.append("speech", speech);
  }
  const response = await ask("v1/search", { method: "POST", headers: { ...headers, ...TAKES[table] }, body, signal });
  return table ? response.blob() : response.json();
}

/** Path of a picture of an item on the service. */
export function picturePath(item, collectionName, part, size) {
  const wanted = new URLSearchParams({ collection: collectionName, ...(size ? { size } : {}) });
  return `v1/items/${encodeURIComponent(item.item_id)}/${part}?${wanted}`;
}

/** Tell if pictures must be fetched with a key, which an `img` or a link cannot send. */
export function keyed() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Something an `img` or a link can show; with a key the bytes are fetched first. */
export async function pictureAddress(path) {
  if (!keyed()) return address(path).href;
  return URL.createObjectURL(await (await ask(path)).blob());
}
