// The grid of pictures, the keys that move in it, and one picture in detail.

import { pictureAddress, picturePath } from "./api.js";
import { languageName, locale, number, say } from "./strings.js";

const THUMBNAIL = 384;
const LARGE = 1024;

/** Whether an item is a part of a video, from and to a second of it; a whole one may have such metadata of its own. */
function isMoment(item) {
  const { start, end } = item.metadata;
  return /#t=\d+\.\d\d,\d+\.\d\d$/.test(item.item_id) && typeof start === "number" && typeof end === "number";
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The caption to show: in the language asked for, else in that of the page, else whatever there is. */
export function captionOf(item, lang) {
  const languages = Object.keys(item.captions);
  const base = (tag) => tag.toLowerCase().split("-")[0];
  for (const wanted of [lang, locale, "en"]) {
    const found = wanted && (languages.find((tag) => tag === wanted) ?? languages.find((tag) => base(tag) === base(wanted)));
    if (found) return { lang: found, text: item.captions[found] };
  }
  return languages.length ? { lang: languages[0], text: item.captions[languages[0]] } : { lang: "", text: item.item_id };
}

export function scoreText(item) {
  if (item.relevance !== null && item.relevance !== undefined) {
    return number(item.relevance, { style: "percent", maximumFractionDigits: 0 });
  }
  return item.score === undefined ? "" : number(item.score, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function scoreMeaning(item) {
  const value = scoreText(item);
  return value && say(item.relevance !== null ? "relevance" : "cosine", { value });
}

/** Let `list` show items; `act.open(item)` and `act.like(item)` are called on request. */
export function showResults(list, items, collection, lang, act) {
  list.replaceChildren(...items.map((item, place) => tile(item, place, collection, lang, act)));
}

function tile(item, place, collection, lang, act) {
  const caption = captionOf(item, lang);
  const row = document.createElement("li");
  const open = document.createElement("button");
  open.type = "button";
  open.className = "hit";
  open.tabIndex = place === 0 ? 0 : -1;
  const frame = document.createElement("span");
  frame.className = "frame";
  const image = document.createElement("img");
  image.alt = caption.text;
  image.lang = caption.lang;
  image.loading = "lazy";
  image.decoding = "async";
  frame.append(image);
  if (isMoment(item)) {
    const time = document.createElement("span");
    time.className = "time";
    time.textContent = `${clock(item.metadata.start)}\u2013${clock(item.metadata.end)}`;
    frame.append(time);
  }
  const text = document.createElement("span");
  // Without a caption the name of the file stands there, on one line: cut short rather than broken.
  text.className = caption.lang ? "caption" : "caption name";
  text.dir = "auto";
  text.lang = caption.lang;
  text.textContent = caption.text;
  text.setAttribute("aria-hidden", "true"); // the picture says it
  open.append(frame, text);
  open.addEventListener("click", () => act.open(item));
  const foot = document.createElement("div");
  foot.className = "foot";
  const score = document.createElement("span");
  score.className = "score";
  score.textContent = scoreText(item);
  score.title = scoreMeaning(item);
  const like = document.createElement("button");
  like.type = "button";
  like.className = "like quiet text";
  like.tabIndex = open.tabIndex;
  like.textContent = say("like");
  like.setAttribute("aria-label", `${say("like")}: ${caption.text}`);
  like.addEventListener("click", () => act.like(item));
  foot.append(score, like);
  row.append(open, foot);
  row.item = item;
  showPicture(image, picturePath(item, collection, "thumbnail", THUMBNAIL));
  return row;
}

async function showPicture(image, path) {
  image.addEventListener("error", () => broken(image));
  image.addEventListener("load", () => image.classList.add("there"));
  try {
    image.src = await pictureAddress(path);
  } catch {
    broken(image);
  }
}

function broken(image) {
  image.parentElement.classList.add("broken");
  image.parentElement.dataset.text = say("noPicture");
}

/** Move with the arrows, Home and End; `m` asks for more like this. `leave` is called above the first row. */
export function moveByKeys(list, act, leave) {
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = [...list.children];
    const here = rows.indexOf(event.target.closest("li"));
    if (here < 0) return;
    const columns = rows.filter((row) => row.offsetTop === rows[0].offsetTop).length;
    const forward = document.documentElement.dir === "rtl" ? -1 : 1;
    const step = { ArrowRight: forward, ArrowLeft: -forward, ArrowDown: columns, ArrowUp: -columns }[event.key];
    let next = step === undefined ? undefined : here + step;
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = rows.length - 1;
    if (event.key === "m") {
      event.preventDefault();
      act.like(rows[here].item);
      return;
    }
    if (next === undefined) return;
    event.preventDefault();
    if (next < 0 && event.key === "ArrowUp") leave();
    else focusRow(rows, Math.max(0, Math.min(rows.length - 1, next)));
  });
}

function focusRow(rows, place) {
  rows.forEach((row, at) => {
    for (const button of row.querySelectorAll("button")) button.tabIndex = at === place ? 0 : -1;
  });
  rows[place].querySelector(".hit").focus();
}

export function focusFirst(list) {
  list.querySelector(".hit")?.focus();
}

/** Show one item in the dialog. */
export async function showDetail(dialog, item, collection, lang) {
  const caption = captionOf(item, lang);
  const title = dialog.querySelector("h2");
  title.textContent = caption.text;
  title.lang = caption.lang;
  dialog.querySelector(".score").textContent = scoreMeaning(item);
  // The first in the language of the title is the title itself.
  fill(dialog.querySelector(".captions"), Object.entries(item.captions).flatMap(([tag, text]) => [
    ...(tag === caption.lang ? [] : [text]), ...(item.more_captions[tag] ?? []),
  ].map((one) => [languageName(tag), one, tag])));
  fill(dialog.querySelector(".metadata"), [...Object.entries(item.metadata).map(([name, value]) => [
    name.replaceAll("_", " "), [value].flat().map(shown).join(", "), "",
  ]), ["id", item.item_id, ""]]);
  dialog.querySelector(".picture").classList.remove("broken");
  if (!dialog.open) dialog.showModal();
  if (item.kind === "video") play(dialog.querySelector(".picture"), item, collection, caption);
  else {
    const image = document.createElement("img");
    image.alt = caption.text;
    dialog.querySelector(".picture").replaceChildren(image);
    showPicture(image, picturePath(item, collection, "thumbnail", LARGE));
  }
  const original = dialog.querySelector("#original");
  original.hidden = true;
  try {
    original.href = await pictureAddress(picturePath(item, collection, "media"));
    original.hidden = false;
  } catch {
    // An item without a file has no original to open.
  }
}

/** Play a video from its moment on; a browser that does not know its format shows the picture of it. */
async function play(place, item, collection, caption) {
  const video = document.createElement("video");
  video.controls = true;
  video.preload = "metadata";
  video.setAttribute("aria-label", caption.text);
  video.poster = await pictureAddress(picturePath(item, collection, "thumbnail", LARGE)).catch(() => "");
  place.replaceChildren(video);
  try {
    const part = isMoment(item) ? `#t=${item.metadata.start},${item.metadata.end}` : "";
    video.src = (await pictureAddress(picturePath(item, collection, "media"))) + part;
  } catch {
    // An item without a file is shown by its picture alone.
  }
}

function shown(value) {
  return typeof value === "boolean" ? say(value ? "yes" : "no") : String(value);
}

function fill(list, rows) {
  list.replaceChildren(...rows.flatMap(([name, text, lang]) => {
    const term = document.createElement("dt");
    term.textContent = name;
    term.dir = "auto";
    const detail = document.createElement("dd");
    detail.textContent = text;
    detail.dir = "auto";
    if (lang) detail.lang = lang;
    return [term, detail];
  }));
  list.hidden = rows.length === 0;
}
