// One picture in detail.

import { keyed, pictureAddress, picturePath } from "./api.js";
import { captionOf, element, isMoment, scoreMeaning, showPicture } from "./results.js";
import { given, languageName, say } from "./strings.js";

const LARGE = 1024;

/** Show one item in the dialog; returns its caption. */
export function showDetail(dialog, item, collection, lang) {
  const caption = captionOf(item, lang);
  dialog.item = item;
  const title = dialog.querySelector("h2");
  title.textContent = caption.text;
  if (caption.lang) title.lang = caption.lang;
  else title.removeAttribute("lang");
  dialog.querySelector(".machine").hidden = !caption.machine;
  const score = dialog.querySelector(".score");
  score.textContent = scoreMeaning(item);
  score.hidden = score.textContent === "";
  // The first in the language of the title is the title itself.
  fill(dialog.querySelector(".captions"), Object.entries(item.captions).flatMap(([tag, text]) => [
    ...(tag === caption.lang ? [] : [text]), ...(item.more_captions[tag] ?? []),
  ].filter((one) => one.trim() !== "").map((one) => [languageName(tag), one, tag, item.caption_roles[tag] === "mt"])));
  const told = Object.entries(item.metadata).filter(([name]) => !given.hidden.includes(name));
  fill(dialog.querySelector(".metadata"), [
    ...told.map(([name, value]) => [name.replaceAll("_", " "), [value].flat().map(shown).join(", "), "", false]),
    [say("identifier"), item.item_id, "", false],
  ]);
  const place = dialog.querySelector(".picture");
  place.classList.remove("broken");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(".about").scrollTop = 0;
  if (item.kind === "video") play(dialog, item, collection, caption);
  else {
    const image = element("img", "");
    image.alt = caption.text;
    place.replaceChildren(image);
    showPicture(image, picturePath(item, collection, "thumbnail", LARGE));
  }
  showOriginal(dialog, item, collection);
  return caption;
}

/** Let the link lead to the original. With a key it is fetched only when it is wanted. */
function showOriginal(dialog, item, collection) {
  const original = dialog.querySelector("#original");
  const path = picturePath(item, collection, "media");
  original.href = path;
  original.onclick = !keyed() ? null : async (event) => {
    event.preventDefault();
    const opened = open("", "_blank");
    try {
      opened.location = await pictureAddress(path);
    } catch {
      opened?.close(); // an item without a file
    }
  };
}

/** Play a video from its moment on; a browser that does not know its format shows the picture of it. */
async function play(dialog, item, collection, caption) {
  const video = document.createElement("video");
  video.controls = true;
  video.preload = "metadata";
  video.setAttribute("aria-label", caption.text);
  dialog.querySelector(".picture").replaceChildren(video);
  video.poster = await pictureAddress(picturePath(item, collection, "thumbnail", LARGE)).catch(() => "");
  try {
    const part = isMoment(item) ? `#t=${item.metadata.start},${item.metadata.end}` : "";
    const address = (await pictureAddress(picturePath(item, collection, "media"))) + part;
    if (dialog.item === item) video.src = address;
  } catch {
    // An item without a file is shown by its picture alone.
  }
}

/** Take what the dialog shows away, so that nothing plays on. */
export function emptyDetail(dialog) {
  dialog.item = null;
  dialog.querySelector(".picture").replaceChildren();
}

function shown(value) {
  return typeof value === "boolean" ? say(value ? "yes" : "no") : String(value);
}

function fill(list, rows) {
  list.replaceChildren(...rows.flatMap(([name, text, lang, machine]) => {
    const term = element("dt", "", name);
    term.dir = "auto";
    const detail = element("dd", "");
    const words = element("span", "", text);
    words.dir = "auto";
    if (lang) words.lang = lang;
    detail.append(words);
    if (machine) detail.append(" ", element("span", "machine", say("machine")));
    return [term, detail];
  }));
  list.hidden = rows.length === 0;
}
