// The page: what the person does becomes a state, the state becomes a question, the answer becomes pictures.

import * as api from "./api.js";
import { showFilters } from "./filters.js";
import { focusFirst, moveByKeys, showDetail, showResults } from "./results.js";
import { emptyState, filterText, readAddress, writeAddress } from "./state.js";
import { languageName, number, say, translatePage } from "./strings.js";

const PAUSE = 250; // milliseconds without a key before what was typed is looked for
const STEP = 48;
const MOST = 192;

const $ = (id) => document.getElementById(id);
const act = { open, like };

let state = emptyState();
let about = null; // the collection, as the service describes it
let media = null; // a photo or a video to search by
let wanted = STEP;
let running = null; // the AbortController of the question that is out
let pause = 0;
let composing = false;
let captionLanguage = "";

start();

async function start() {
  translatePage();
  listen();
  state = readAddress();
  await begin();
}

async function begin() {
  try {
    const all = await api.collections();
    showCollections(all);
    const known = all.some((one) => one.name === state.collection);
    about = await api.collection(known ? state.collection : all[0].name);
  } catch (error) {
    fail(error, begin);
    return;
  }
  fail(null);
  show();
  await look();
}

/** Bring the controls in line with the state. */
function show() {
  $("query").value = state.text;
  $("collection").value = about.name;
  $("toggle").hidden = !showFilters($("filters"), about.fields, state.chosen, choose);
  showActive();
  showLanguages(null);
  showAttached();
}

/** Ask the service for what the state says, and show it; an earlier question is dropped. */
async function look() {
  clearTimeout(pause);
  running?.abort();
  const mine = (running = new AbortController());
  document.body.classList.add("busy");
  if (media && api.kindOf(media) === "video") $("count").textContent = say("searching"); // it takes seconds
  try {
    const filter = filterText(state.chosen);
    if (asking()) {
      const asked = {
        text: state.text, item_id: state.like, lang: state.text ? state.lang : "", filter,
        k: Math.min(MOST, wanted), collection: about.name,
      };
      const answer = await api.search(asked, media, mine.signal);
      if (mine === running) showAnswer(answer);
    } else {
      const page = await api.items(about.name, filter, wanted, mine.signal);
      if (mine === running) showBrowsing(page);
    }
    if (mine === running) fail(null);
  } catch (error) {
    if (error.name !== "AbortError" && mine === running) fail(error, look);
  } finally {
    if (mine === running) document.body.classList.remove("busy");
  }
}

function asking() {
  return state.text.trim() !== "" || state.like !== "" || media !== null;
}

function showAnswer(answer) {
  captionLanguage = answer.language?.code ?? "";
  showLanguages(answer.language);
  const notes = [...(answer.match === false && answer.hits.length ? [say("noMatch")] : []), ...answer.warnings];
  notice(notes);
  $("heading").textContent = state.like ? say("likeThis") : "";
  showItems(answer.hits, answer.hits.length >= wanted && wanted < MOST);
  // A query that could not be read: its warning says all there is to say.
  if (!answer.hits.length && answer.match === false) $("empty").hidden = true;
}

function showBrowsing(page) {
  captionLanguage = "";
  showLanguages(null);
  notice([]);
  $("heading").textContent = page.items.length ? say("from") : "";
  showItems(page.items, page.next_cursor !== null && wanted < 1000);
}

function showItems(items, more) {
  showResults($("results"), items, about.name, captionLanguage, act);
  $("more").hidden = !more;
  $("count").textContent = say("results", { count: number(items.length) + (more ? "+" : "") });
  $("empty").hidden = items.length > 0;
  if (items.length) return;
  const text = document.createElement("p");
  text.textContent = say(state.chosen.size ? "none" : about.items ? "noMatch" : "emptyCollection");
  $("empty").replaceChildren(text);
  if (state.chosen.size) $("empty").append(button(say("clear"), clearFilters));
}

function notice(lines) {
  $("notice").hidden = lines.length === 0;
  $("notice").replaceChildren(...lines.map((line) => {
    const text = document.createElement("p");
    text.textContent = line;
    text.dir = "auto";
    return text;
  }));
}

/** Say what went wrong and how to go on, or, with null, that nothing did. */
function fail(error, again) {
  $("failure").hidden = error === null;
  if (error === null) return;
  if (error.status === 401) {
    $("failure").hidden = true;
    askForKey();
    return;
  }
  const text = document.createElement("p");
  text.textContent = error.status ? error.message : say("unreachable");
  text.dir = "auto";
  $("failure").replaceChildren(text, button(say("retry"), again));
  $("count").textContent = "";
}

function button(label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "plain";
  made.textContent = label;
  made.addEventListener("click", () => action());
  return made;
}

function showCollections(all) {
  $("collection").replaceChildren(...all.map(({ name, items }) => new Option(`${name} (${number(items)})`, name)));
  $("collection").parentElement.hidden = all.length < 2;
}

/** The languages to choose from, the one that was detected among them. */
function showLanguages(spoken) {
  const detected = spoken && !spoken.given && spoken.code !== "und";
  const first = detected ? say("detected", { language: languageName(spoken.code) }) : say("detect");
  const known = about.languages.map((code) => new Option(languageName(code), code));
  if (state.lang && !about.languages.includes(state.lang)) known.push(new Option(languageName(state.lang), state.lang));
  $("lang").replaceChildren(new Option(first, ""), ...known);
  $("lang").value = state.lang;
  $("spoken").hidden = state.text.trim() === "";
}

function showActive() {
  $("active").hidden = state.chosen.size === 0;
  $("active").textContent = number(state.chosen.size);
}

function showAttached() {
  const [image, video] = ["img", "video"].map((name) => $("attached").querySelector(name));
  for (const one of [image, video]) if (one.src.startsWith("blob:")) URL.revokeObjectURL(one.src.split("#")[0]);
  const moves = media !== null && api.kindOf(media) === "video";
  $("attached").hidden = media === null && !state.like;
  $("attached").classList.toggle("moves", moves);
  image.hidden = moves;
  video.hidden = !moves;
  if (moves) {
    video.src = `${URL.createObjectURL(media)}#t=0.001`; // some browsers paint nothing until they are told a time
    video.setAttribute("aria-label", media.name);
    image.removeAttribute("src");
    return;
  }
  video.removeAttribute("src");
  if (media) image.src = URL.createObjectURL(media);
  else if (state.like) {
    const path = api.picturePath({ item_id: state.like }, about.name, "thumbnail", 64);
    api.pictureAddress(path).then((found) => (image.src = found), () => image.removeAttribute("src"));
  } else image.removeAttribute("src");
}

// What the person does.

function listen() {
  const query = $("query");
  query.addEventListener("compositionstart", () => {
    composing = true;
    clearTimeout(pause);
  });
  query.addEventListener("compositionend", () => {
    composing = false;
    typed();
  });
  query.addEventListener("input", (event) => {
    if (!composing && !event.isComposing) typed();
  });
  query.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && !event.isComposing) {
      event.preventDefault();
      focusFirst($("results"));
    }
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (composing) return;
    take(query.value);
    writeAddress(state, true);
    look();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    attach($("file").files[0]);
    $("file").value = "";
  });
  $("detach").addEventListener("click", () => {
    media = null;
    changed({ like: "" }, true);
    showAttached();
    query.focus();
  });
  $("lang").addEventListener("change", () => changed({ lang: $("lang").value }, true));
  $("collection").addEventListener("change", () => {
    state = { ...emptyState(), text: state.text, collection: $("collection").value };
    writeAddress(state, true);
    begin();
  });
  $("toggle").addEventListener("click", () => openFilters($("filters").hidden));
  $("more").addEventListener("click", () => {
    wanted += STEP;
    look();
  });
  $("close").addEventListener("click", () => $("detail").close());
  $("detail").addEventListener("click", (event) => {
    if (event.target === $("detail")) $("detail").close();
  });
  $("like").addEventListener("click", () => like($("detail").item));
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.setKey($("key").value.trim());
    $("asking").close();
    begin();
  });
  moveByKeys($("results"), act, () => query.focus());
  document.addEventListener("keydown", onKey);
  document.addEventListener("paste", onPaste);
  addEventListener("popstate", () => {
    media = null;
    const before = state.collection;
    state = readAddress();
    wanted = STEP;
    if (state.collection !== before) begin();
    else {
      show();
      look();
    }
  });
  listenForDrops();
}

function typed() {
  take($("query").value);
  writeAddress(state, false);
  clearTimeout(pause);
  pause = setTimeout(look, PAUSE);
}

function take(text) {
  state.text = text;
  wanted = STEP;
}

function changed(change, asNew) {
  state = { ...state, ...change };
  wanted = STEP;
  writeAddress(state, asNew);
  look();
}

function choose(field, choice) {
  const chosen = new Map(state.chosen);
  if (choice) chosen.set(field, choice);
  else chosen.delete(field);
  state = { ...state, chosen };
  wanted = STEP;
  showActive();
  writeAddress(state, false);
  clearTimeout(pause);
  pause = setTimeout(look, PAUSE);
}

function clearFilters() {
  changed({ chosen: new Map() }, true);
  show();
}

function openFilters(open) {
  $("filters").hidden = !open;
  $("toggle").setAttribute("aria-expanded", String(open));
}

function open(item) {
  $("detail").item = item;
  showDetail($("detail"), item, about.name, captionLanguage);
}

function like(item) {
  $("detail").close();
  media = null;
  $("query").value = "";
  changed({ like: item.item_id, text: "" }, true);
  showAttached();
  scrollTo({ top: 0 });
  $("query").focus();
}

function attach(file) {
  if (!file) return;
  if (!api.kindOf(file)) {
    notice([say("notMedia")]);
    return;
  }
  media = file;
  changed({ like: "" }, true);
  showAttached();
}

function askForKey() {
  const again = $("key").value !== "";
  api.forgetKey();
  $("asking").querySelector("p").textContent = say(again ? "wrongKey" : "keyHint");
  $("key").value = "";
  if (!$("asking").open) $("asking").showModal();
}

function onKey(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !writing && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("query").focus();
    $("query").select();
  }
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (document.activeElement.closest("#results, #filters")) $("query").focus();
    else if (document.activeElement === $("query") && $("query").value) {
      event.preventDefault();
      $("query").value = "";
      typed();
    }
  }
}

function onPaste(event) {
  const file = [...event.clipboardData.files].find(api.kindOf);
  if (!file) return;
  event.preventDefault();
  attach(file);
}

function listenForDrops() {
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) $("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    attach(event.dataTransfer.files[0]);
  });
}
