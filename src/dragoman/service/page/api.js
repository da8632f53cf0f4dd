// The service, as the page asks it. Addresses are relative to the page, so that a proxy may put both anywhere.

const KEY = "dragoman-key";

/** An answer that is no success: `status`, and what the service says of it. Status 0: no answer at all. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
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
    throw new Refusal(0, "");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refusal(response.status, problem.detail ?? response.statusText);
}

export async function collections() {
  return (await (await ask("v1/collections")).json()).collections;
}

export async function collection(name) {
  return (await ask(`v1/collections/${encodeURIComponent(name)}`)).json();
}

export async function items(name, filter, limit, signal) {
  const wanted = new URLSearchParams({ collection: name, limit });
  if (filter) wanted.set("filter", filter);
  return (await ask(`v1/items?${wanted}`, { signal })).json();
}

/** What a file is to a search: "image", "video", or null. */
export function kindOf(file) {
  // Not every browser knows every container.
  if (!file.type && /\.(mkv|mp4|m4v|mov|webm|avi|mpe?g|m?ts|m2ts|wmv|asf|flv|ogv|3gp|mxf)$/i.test(file.name)) return "video";
  return file.type.match(/^(image|video)\//)?.[1] ?? null;
}

/** `asked` has the fields of a search; `media` is a photo or a video, or null. */
export async function search(asked, media, signal) {
  const wanted = Object.entries(asked).filter(([, value]) => value !== "" && value !== null);
  if (!media) {
    const body = JSON.stringify(Object.fromEntries(wanted));
    return (await ask("v1/search", { method: "POST", headers: { "content-type": "application/json" }, body, signal })).json();
  }
  const form = new FormData();
  for (const [name, value] of wanted) form.append(name, value);
  form.append(kindOf(media), media, "media");
  return (await ask("v1/search", { method: "POST", body: form, signal })).json();
}

/** Path of a picture of an item on the service. */
export function picturePath(item, collectionName, part, size) {
  const wanted = new URLSearchParams({ collection: collectionName, ...(size ? { size } : {}) });
  return `v1/items/${encodeURIComponent(item.item_id)}/${part}?${wanted}`;
}

/** Something an `img` or a link can show. An `img` cannot send a key, so that then the bytes are fetched first. */
export async function pictureAddress(path) {
  if (!sessionStorage.getItem(KEY)) return address(path).href;
  return URL.createObjectURL(await (await ask(path)).blob());
}
