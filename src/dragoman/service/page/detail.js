// One item in detail.

import { keyed, pictureAddress, picturePath } from "./api.js";
import { offerCorrection } from "./correct.js";
import { captionOf, element, isMoment, scoreMeaning, showPicture, wordsOf } from "./results.js";
import { languageName, say } from "./strings.js";

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
  showCaptions(dialog, item, caption);
  fill(dialog.querySelector(".metadata"), [
    ...Object.entries(item.metadata).map(([name, value]) => [name.replaceAll("_", " "), [value].flat().map(shown).join(", "), "", false]),
    [say("identifier"), item.item_id, "", false],
  ]);
  const place = dialog.querySelector(".picture");
  place.classList.remove("broken");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(".about").scrollTop = 0;
  if (item.kind === "video") play(dialog, item, collection, caption);
  else if (item.kind === "text") {
    const passage = element("p", "passage", wordsOf(item).text);
    passage.lang = item.lang;
    passage.dir = "auto";
    passage.tabIndex = 0; // a long one is scrolled by keys
    place.replaceChildren(passage);
  } else {
    const image = element("img", "");
    image.alt = caption.text;
    place.replaceChildren(image);
    showPicture(image, picturePath(item, collection, "thumbnail", LARGE));
  }
  showOriginal(dialog, item, collection);
  return caption;
}

/** Show the captions beside the title. */
function showCaptions(dialog, item, caption) {
  const rows = Object.entries(item.captions).flatMap(([tag, text]) =>
    [text, ...(item.more_captions[tag] ?? [])].map((one, place) => [languageName(tag), one, tag, item.caption_roles[tag] === "mt", place])
      // The first in the language of the title is the title itself.
      .filter(([, one, , , place]) => one.trim() !== "" && (place > 0 || tag !== caption.lang)));
  const list = dialog.querySelector(".captions");
  fill(list, rows);
  // The first of a language is the one that is corrected.
  list.querySelectorAll("dd").forEach((one, at) => rows[at][4] === 0 && (one.dataset.first = rows[at][2]));
  const title = dialog.querySelector(".correction");
  title.replaceChildren();
  title.dataset.first = caption.lang;
  delete title.dataset.offered;
}

/** Put what corrects them behind the captions of the item that is shown; `done` is called with the item as it is then. */
export function offerCorrections(dialog, collection, done) {
  for (const place of dialog.querySelectorAll("[data-first]")) {
    if (!place.dataset.first || place.dataset.offered) continue;
    place.dataset.offered = "yes";
    offerCorrection(place, dialog.item, collection, place.dataset.first, done);
  }
}

/** Let the link lead to the original. With a key it is fetched only when it is wanted. */
function showOriginal(dialog, item, collection) {
  const original = dialog.querySelector("#original");
  const path = picturePath(item, collection, "media");
  original.hidden = item.kind === "text";
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
