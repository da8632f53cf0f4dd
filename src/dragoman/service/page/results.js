// The grid of pictures, and the keys that move in it.

import { keyed, pictureAddress, picturePath } from "./api.js";
import { given, locale, number, say } from "./strings.js";

/** Longer side that is asked for, as the tiles are shown on this screen. */
const THUMBNAIL = devicePixelRatio > 1.25 ? 512 : 256;

/** Pictures that are fetched with a key wait here until they are near the screen. */
const waiting = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    waiting.unobserve(target);
    load(target);
  }
}, { rootMargin: "800px" });

/** Whether an item is a part of a video, from and to a second of it; a whole one may have such metadata of its own. */
export function isMoment(item) {
  const { start, end } = item.metadata;
  return /#t=\d+\.\d\d,\d+\.\d\d$/.test(item.item_id) && typeof start === "number" && typeof end === "number";
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The words of an item that is a text, and their first line, which is its title. */
export function wordsOf(item) {
  const text = item.captions[item.lang];
  const [title, ...rest] = text.split("\n");
  return { text, title, rest: rest.join("\n").trim() };
}

/** What else a text is called, in the language asked for or that of the page; null where it is in that language itself,
 * or is called nothing there. */
function translationOf(item, lang) {
  const base = (tag) => tag.toLowerCase().split("-")[0];
  for (const wanted of [lang, locale]) {
    if (!wanted || wanted === "und") continue;
    if (base(item.lang) === base(wanted)) return null;
    const found = Object.keys(item.captions).find((tag) => base(tag) === base(wanted));
    if (found) return { lang: found, text: item.captions[found], machine: item.caption_roles[found] === "mt" };
  }
  return null;
}

/** The caption to show, of a text its title: in the language asked for, else in that of the page, else whatever there is; the house may want one
 * that people wrote before any that a machine did. Without captions it is the name of the file, whose `lang` is "". */
export function captionOf(item, lang) {
  if (item.kind === "text") return { lang: item.lang, text: wordsOf(item).title, machine: false };
  const machine = (tag) => item.caption_roles[tag] === "mt";
  const every = Object.keys(item.captions).filter((tag) => item.captions[tag].trim() !== "");
  const human = every.filter((tag) => !machine(tag));
  const languages = given.captions === "human" && human.length ? human : every;
  const base = (tag) => tag.toLowerCase().split("-")[0];
  const made = (tag) => ({ lang: tag, text: item.captions[tag], machine: machine(tag) });
  for (const wanted of [lang, locale, "en"]) {
    const found = wanted && (languages.find((tag) => tag === wanted) ?? languages.find((tag) => base(tag) === base(wanted)));
    if (found) return made(found);
  }
  return languages.length ? made(human.find((tag) => languages.includes(tag)) ?? languages[0]) : { lang: "", text: nameOf(item), machine: false };
}

/** The name of the file of an item, without its folders. */
function nameOf(item) {
  if (typeof item.metadata.file === "string" && item.metadata.file) return item.metadata.file;
  return item.item_id.replace(/#t=[\d.,]+$/, "").split("/").pop() || item.item_id;
}

/** How likely it is that an item answers, for people; "" where that is not known. */
function scoreText(item) {
  const known = item.relevance !== null && item.relevance !== undefined;
  return known ? number(item.relevance, { style: "percent", maximumFractionDigits: 0 }) : "";
}

/** What is known of how well an item answers, in words. */
export function scoreMeaning(item) {
  const value = scoreText(item);
  if (value) return say("relevance", { value });
  if (item.score === undefined) return "";
  return say("cosine", { value: number(item.score, { minimumFractionDigits: 2, maximumFractionDigits: 2 }) });
}

/** Let `list` show items, after those it shows already if `after`. `act` opens an item or looks for more like it, and
 * gives the addresses of both. */
export function showResults(list, items, collection, lang, act, after = false) {
  const rows = items.map((item) => tile(item, collection, lang, act));
  if (after) list.append(...rows);
  else list.replaceChildren(...rows);
  if (!after && rows.length) for (const link of rows[0].querySelectorAll("a")) link.tabIndex = 0;
  return rows;
}

function tile(item, collection, lang, act) {
  const row = document.createElement("li");
  const open = link("hit", act.addressOfItem(item), () => act.open(row.item));
  const text = element("span", "caption");
  text.dir = "auto";
  if (item.kind !== "text") text.setAttribute("aria-hidden", "true"); // the picture says it
  open.append(item.kind === "text" ? words(item) : picture(item, collection), text);
  const foot = element("div", "foot");
  const score = element("span", "score", scoreText(item));
  score.title = scoreMeaning(item);
  const like = link("like quiet text", act.addressOfLike(item), () => act.like(row.item));
  like.textContent = say("like");
  foot.append(score, like);
  row.append(open, foot);
  captionTile(row, item, lang);
  return row;
}

/** The picture of a tile. */
function picture(item, collection) {
  const frame = element("span", "frame");
  const image = element("img", "");
  image.width = image.height = THUMBNAIL;
  image.decoding = "async";
  frame.append(image);
  if (isMoment(item)) frame.append(element("span", "time", `${clock(item.metadata.start)}\u2013${clock(item.metadata.end)}`));
  showPicture(image, picturePath(item, collection, "thumbnail", THUMBNAIL), true);
  return frame;
}

/** The beginning of a text, in the place of a picture. */
function words(item) {
  const frame = element("span", "frame words");
  const { title, rest } = wordsOf(item);
  frame.lang = item.lang;
  frame.dir = "auto";
  frame.append(element("b", "", title), " ", element("span", "", rest));
  return frame;
}

/** Let a picture of the grid bear the caption that its item has. */
export function captionTile(row, item, lang) {
  const itself = captionOf(item, lang);
  const caption = item.kind === "text" ? translationOf(item, lang) ?? { lang: "", text: "", machine: false } : itself;
  row.item = item;
  const [image, text, like] = ["img", ".caption", ".like"].map((part) => row.querySelector(part));
  text.textContent = caption.text;
  text.hidden = caption.text === "";
  if (image) image.alt = caption.text;
  // Without a caption the name of the file stands there, on one line: cut short rather than broken.
  text.classList.toggle("name", !caption.lang);
  for (const part of image ? [image, text] : [text]) {
    if (caption.lang) part.lang = caption.lang;
    else part.removeAttribute("lang");
  }
  like.setAttribute("aria-label", `${say("like")}: ${itself.text}`);
  row.querySelector(".machine")?.remove();
  if (caption.machine) row.querySelector(".hit").append(element("span", "machine", say("machine")));
}

export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

/** A link that does its work on this page, but opens a tab of its own where the person asks for that. */
function link(className, address, action) {
  const made = element("a", className);
  made.href = address;
  made.tabIndex = -1;
  made.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  return made;
}

/** Let an `img` show the picture of a path; `late` not before it is near the screen. */
export function showPicture(image, path, late = false) {
  image.addEventListener("error", () => broken(image));
  image.addEventListener("load", () => {
    image.classList.add("there");
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  });
  image.dataset.path = path;
  if (late && keyed()) waiting.observe(image);
  else {
    if (late) image.loading = "lazy";
    load(image);
  }
}

async function load(image) {
  try {
    image.src = await pictureAddress(image.dataset.path);
  } catch {
    broken(image);
  }
}

function broken(image) {
  image.parentElement?.classList.add("broken");
  if (image.parentElement) image.parentElement.dataset.text = say("no_picture");
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
    else focusRow(rows[Math.max(0, Math.min(rows.length - 1, next))]);
  });
}

/** Let a tile have the focus, and be the one that Tab comes to. */
export function focusRow(row) {
  for (const one of row.parentElement.querySelectorAll('a[tabindex="0"]')) one.tabIndex = -1;
  for (const one of row.querySelectorAll("a")) one.tabIndex = 0;
  row.querySelector(".hit").focus();
}

export function focusFirst(list) {
  list.querySelector(".hit")?.focus();
}
