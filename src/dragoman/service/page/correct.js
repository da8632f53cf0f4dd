// Corrections of captions, for whoever may write.

import * as api from "./api.js";
import { element } from "./results.js";
import { languageName, say, tell } from "./strings.js";

/** Put the means to correct a caption behind it. `done` is called with the item as it is then, and its language. */
export async function offerCorrection(place, item, collection, lang, done) {
  if (item.caption_roles[lang] === "mt") {
    place.append(opener(place, item, collection, lang, done));
    return;
  }
  // Of what people wrote only corrections are changed here.
  const { corrected } = await api.caption(item.item_id, lang, collection).catch(() => ({ corrected: false }));
  // Another picture may have come meanwhile.
  if (!corrected || place.closest("dialog")?.item !== item) return;
  const back = button(say("take_back"), lang);
  back.addEventListener("click", () => attempt(place, back, async () => {
    await api.takeBack(item.item_id, lang, collection);
    done(await api.item(item.item_id, collection), lang);
  }));
  place.append(opener(place, item, collection, lang, done), back);
}

function opener(place, item, collection, lang, done) {
  const open = button(say("correct"), lang);
  open.setAttribute("aria-expanded", "false");
  open.addEventListener("click", () => {
    const form = correctionForm(item, lang, () => {
      form.remove();
      open.setAttribute("aria-expanded", "false");
      open.focus();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = form.querySelector("textarea").value.trim();
      if (text) attempt(form, form.querySelector(".primary"), async () => done(await api.correct(item.item_id, lang, text, collection), lang));
    });
    if (open.getAttribute("aria-expanded") === "true") return;
    open.setAttribute("aria-expanded", "true");
    open.after(form);
    form.querySelector("textarea").focus();
  });
  return open;
}

function correctionForm(item, lang, leave) {
  const form = element("form", "correcting");
  const label = element("label", "");
  const text = element("textarea", "");
  text.value = item.captions[lang];
  text.lang = lang;
  text.dir = "auto";
  text.rows = 3;
  text.maxLength = 10000;
  text.required = true;
  label.append(element("span", "", say("correction", { language: languageName(lang) })), text);
  const [save, cancel] = [element("button", "primary", say("save")), element("button", "plain", say("cancel"))];
  cancel.type = "button";
  cancel.addEventListener("click", leave);
  // The dialog closes by Escape, and goes on to the next picture by arrows.
  form.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    leave();
  });
  const actions = element("p", "actions");
  actions.append(save, cancel);
  form.append(label, actions);
  return form;
}

/** Do what a button says, and tell where it is refused. */
async function attempt(place, pressed, work) {
  place.querySelector(".refusal")?.remove();
  pressed.disabled = true;
  try {
    await work();
  } catch (error) {
    const told = error.status === 401 ? say("wrong_key") : error.status ? tell(error.problem, error.message) : say("unreachable");
    const line = element("p", "refusal", told);
    line.setAttribute("role", "alert");
    place.append(line);
    pressed.disabled = false;
  }
}

function button(text, lang) {
  const made = element("button", "quiet text", text);
  made.type = "button";
  // Several captions of one picture have such a button.
  made.setAttribute("aria-label", `${text} (${languageName(lang)})`);
  return made;
}
