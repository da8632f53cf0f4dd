// The page: what the person does becomes a state, the state becomes a question, the answer becomes pictures.

import * as api from "./api.js";
import { emptyDetail, offerCorrections, showDetail } from "./detail.js";
import { showFilters } from "./filters.js";
import { captionOf, captionTile, element, focusFirst, focusRow, moveByKeys, showResults } from "./results.js";
import { addressOf, emptyState, filterText, readAddress, writeAddress } from "./state.js";
import { given, languageName, number, say, tell } from "./strings.js";

const PAUSE = 250; // milliseconds without a key before what was typed is looked for
const SLOW = 400; // milliseconds before a wait is told
const STEP = Math.min(48, given.most);
const AGAIN = 1500; // milliseconds after which a translation that was late is asked for again
const UNJUDGED = ["few_captions", "language_not_measured", "unknown_words"]; // reasons for no percentages that are told
const DEEPEST = 10000; // hits that the service finds of one question

const $ = (id) => document.getElementById(id);
const act = {
  open: (item) => open(item, true),
  like,
  addressOfItem: (item) => addressOf({ ...state, item: item.item_id }),
  addressOfLike: (item) => addressOf({ ...state, like: item.item_id, text: "", item: "" }),
};

let state = emptyState();
let about = { name: "", items: 0, languages: [], fields: [] }; // the collection, as the service describes it
let media = null; // a photo or a video to search by
let shown = []; // the items on the page, in their order
let further = null; // where the next ones begin: an offset or a cursor; null at the end
let total = null; // how many there are
let running = null; // the AbortController of the question that is out
let pause = 0;
let composing = false;
let typing = false; // whether what is typed goes on from a step of its own
let captionLanguage = "";
let likeCaption = ""; // of the item that more like it is looked for
let listening = null; // the recording that goes on, or `true` while the browser asks whether it may

start();

async function start() {
  listen();
  state = readAddress();
  // Where everybody may search, nothing else would ask those who correct captions for their key.
  if (new URLSearchParams(location.search).has("key") && !api.keyed()) {
    $("asking").addEventListener("cancel", begin, { once: true });
    askForKey();
  } else await begin();
}

async function begin() {
  const mine = (running = new AbortController());
  try {
    const all = await api.collections();
    if (mine !== running) return;
    const chosen = all.find((one) => one.name === state.collection) ?? all[0];
    about = { ...chosen, languages: [], fields: [] };
    showCollections(all);
    show();
    // The pictures come beside what the filters need to know.
    const [details] = await Promise.all([api.collection(chosen.name), look()]);
    if (about.name !== details.name) return;
    about = details;
    show();
    offer();
  } catch (error) {
    fail(error, begin);
  }
}

/** Bring the controls in line with the state. */
function show() {
  if ($("query").value !== state.text) $("query").value = state.text;
  $("collection").value = about.name;
  $("home").href = addressOf({ ...emptyState(), collection: state.collection, ui: state.ui });
  $("toggle").hidden = !showFilters($("filters"), about.fields, state.chosen, choose);
  showActive();
  showLanguages(spoken);
  showAttached();
}

/** Ask the service for what the state says, and show it; an earlier question is dropped. */
async function look() {
  clearTimeout(pause);
  quiet();
  shown = [];
  further = asking() ? 0 : "";
  total = null;
  const answer = await ask(look);
  if (!answer) return;
  const mine = running;
  if (state.like) await nameLiked();
  if (mine !== running) return;
  showAnswer(answer);
  if (answer.channel && answer.channel.name !== answer.channel.best) setTimeout(() => refine(mine), AGAIN);
}

/** Ask once more where the translation of the query was late, and show what it finds if nobody has gone on meanwhile. */
async function refine(before) {
  const idle = () => before === running && shown.length <= STEP && !$("detail").open && !$("results").contains(document.activeElement);
  if (!idle()) return;
  try {
    const asked = { ...question(filterText(state.chosen)), k: STEP };
    const answer = await api.search(asked, media, before.signal);
    if (!idle() || answer.channel?.name !== answer.channel?.best) return;
    shown = [];
    further = 0;
    showAnswer(answer);
  } catch {
    // The first answer stands.
  }
}

function showAnswer(answer) {
  const items = answer.hits ?? answer.items;
  captionLanguage = answer.language?.code ?? "";
  spoken = answer.language ?? null;
  showLanguages(spoken);
  const codes = answer.warning_codes ?? [];
  notice([
    ...(answer.match === false && items.length ? [say("no_match")] : []),
    ...codes.map((one, at) => tell(one, answer.warnings[at])),
    ...(UNJUDGED.includes(answer.unjudged) && items.length ? [say(answer.unjudged)] : []),
  ]);
  showHeading();
  const translation = answer.channel?.translation ?? "";
  $("asked").hidden = translation === "";
  $("asked").textContent = translation && say("asked_as", { text: translation });
  showResults($("results"), items, about.name, captionLanguage, act);
  took(items, answer);
  showEmpty(answer);
  if (state.item && !$("detail").open) openById(state.item);
}

/** Show what follows; the focus goes to the first of it where the button goes away. */
async function more() {
  if (further === null || document.body.classList.contains("busy")) return;
  const held = document.activeElement === $("more");
  const answer = await ask(more);
  if (!answer) return;
  const known = new Set(shown.map((item) => item.item_id));
  // Between two answers something may have come or gone.
  const items = (answer.hits ?? answer.items).filter((item) => !known.has(item.item_id));
  const [first] = showResults($("results"), items, about.name, captionLanguage, act, true);
  took(items, answer);
  if (held && $("more").hidden && first) focusRow(first);
}

/** Send the question of the state, or what was said in place of its text, from `further` on; null where another one has
 * taken its place, or an error was told. */
async function ask(again, speech = null) {
  running?.abort();
  const mine = (running = new AbortController());
  document.body.classList.add("busy");
  const waits = setTimeout(() => ($("count").textContent = say(asking() ? "searching" : "loading")), SLOW);
  try {
    const filter = filterText(state.chosen);
    let answer;
    if (asking() || speech) {
      const spoken = speech ? { text: "", lang: state.lang } : {};
      const asked = { ...question(filter), ...spoken, k: Math.min(STEP, DEEPEST - further), offset: further };
      [answer, total] = await Promise.all([
        api.search(asked, media, mine.signal, false, speech),
        total ?? (filter ? api.items(about.name, filter, 1, "", mine.signal).then((page) => page.total) : about.items),
      ]);
    } else answer = await api.items(about.name, filter, STEP, further, mine.signal);
    if (mine !== running) return null;
    fail(null);
    return answer;
  } catch (error) {
    if (error.name !== "AbortError" && mine === running) fail(error, again);
    return null;
  } finally {
    clearTimeout(waits);
    if (mine === running) document.body.classList.remove("busy");
  }
}

/** Note what an answer has brought, and where the next one begins. */
function took(items, answer) {
  shown.push(...items);
  if (answer.items) {
    total = answer.total ?? total;
    further = answer.next_cursor;
  } else {
    further += answer.hits.length;
    if (answer.hits.length < STEP || further >= DEEPEST || shown.length === total) further = null;
  }
  const there = shown.length;
  $("more").hidden = further === null;
  const all = total === null || (further === null && there < DEEPEST) || there >= total;
  $("count").textContent = all
    ? say("results", { count: number(there) })
    : say("results_of", { count: number(there), total: number(total) });
  $("table").hidden = there === 0;
  showPlace();
}

function asking() {
  return state.text.trim() !== "" || state.like !== "" || media !== null;
}

function question(filter) {
  return {
    text: state.text, item_id: state.like, lang: state.text ? state.lang : "", filter, collection: about.name,
  };
}

let spoken = null; // the language of the last query, as the service tells it

/** Say in the heading and the title what is looked for. */
function showHeading() {
  const parts = [
    ...(state.text.trim() ? [say("results_for", { query: state.text.trim() })] : []),
    ...(state.like ? [say("like_this", { caption: likeCaption })] : []),
    ...(media ? [say(api.kindOf(media) === "video" ? "by_video" : "by_photo")] : []),
  ];
  $("heading").textContent = parts.join(" · ") || say("from");
  showTitle();
}

function showTitle() {
  const item = $("detail").open ? $("detail").item : null;
  const first = item ? captionOf(item, captionLanguage).text : $("heading").textContent;
  document.title = asking() || item ? `${first} – ${given.house}` : given.house;
}

/** Find the caption of the item that more like it is looked for. */
async function nameLiked() {
  const like = state.like;
  if (liked?.item_id !== like) liked = await api.item(like, about.name).catch(() => null);
  likeCaption = liked ? captionOf(liked, captionLanguage).text : like;
}

let liked = null;

function showEmpty(answer) {
  // A query that could not be read: its warning says all there is to say.
  $("empty").hidden = shown.length > 0 || (asking() && answer.match === false && !state.chosen.size);
  const empty = !asking() && !about.items;
  $("empty").replaceChildren(element("p", "", say(state.chosen.size ? "none" : empty ? "empty_collection" : "nothing")));
  if (state.chosen.size) $("empty").append(button(say("clear"), clearFilters));
}

function notice(lines) {
  $("notice").hidden = lines.length === 0;
  $("notice").replaceChildren(...lines.map((line) => {
    const text = element("p", "", line);
    text.dir = "auto";
    return text;
  }));
}

/** Say what went wrong and how to go on, or, with null, that nothing did. Nothing of before stays beside it. */
function fail(error, again) {
  $("failure").hidden = error === null || error.status === 401;
  if (error === null) return;
  document.body.classList.remove("busy");
  if (shown.length === 0) {
    $("results").replaceChildren();
    showHeading();
  }
  notice([]);
  for (const id of ["more", "table", "empty", "asked"]) $(id).hidden = true;
  $("count").textContent = "";
  if (error.status === 401) {
    askForKey();
    return;
  }
  if (!(error instanceof api.Refusal)) throw error;
  // A proxy before the service answers in its own way.
  const problem = error.problem.code ? error.problem : { code: error.status < 500 ? "refused" : "failed" };
  const text = element("p", "", error.status ? tell(problem, error.message) : say("unreachable"));
  text.dir = "auto";
  $("failure").replaceChildren(text, button(say("retry"), again));
}

function button(label, action) {
  const made = element("button", "plain", label);
  made.type = "button";
  made.addEventListener("click", () => action());
  return made;
}

function showCollections(all) {
  $("collection").replaceChildren(...all.map(({ name, items }) => new Option(`${name} (${number(items)})`, name)));
  $("collection").parentElement.hidden = all.length < 2;
}

/** The languages to choose from, the one that was detected among them. */
function showLanguages(said) {
  const detected = said && !said.given && said.code !== "und";
  const first = detected ? say("detected", { language: languageName(said.code) }) : say("detect");
  const known = about.languages.map((code) => new Option(languageName(code), code));
  if (state.lang && !about.languages.includes(state.lang)) known.push(new Option(languageName(state.lang), state.lang));
  $("lang").replaceChildren(new Option(first, ""), ...known);
  $("lang").value = state.lang;
  $("spoken").hidden = state.text.trim() === "" && !listening;
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
  else if (state.like && !(liked?.item_id === state.like && liked.kind === "text")) {
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
  query.addEventListener("blur", () => (typing = false));
  query.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && !event.isComposing) {
      event.preventDefault();
      focusFirst($("results"));
    }
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (composing) return;
    state.text = query.value;
    writeAddress(state, !typing);
    typing = false;
    look();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    attach($("file").files[0]);
    $("file").value = "";
  });
  $("speak")?.addEventListener("click", () => (listening?.stop ? understand(listening.stop()) : hear()));
  $("unspeak")?.addEventListener("click", () => {
    quiet();
    $("speak").focus();
  });
  $("detach").addEventListener("click", () => {
    media = null;
    changed({ like: "" });
    showAttached();
    query.focus();
  });
  $("lang").addEventListener("change", () => changed({ lang: $("lang").value }));
  $("page-language").addEventListener("change", () => speak($("page-language").value));
  $("collection").addEventListener("change", () => {
    state = { ...emptyState(), text: state.text, collection: $("collection").value, ui: state.ui };
    writeAddress(state, true);
    begin();
  });
  $("toggle").addEventListener("click", () => openFilters($("filters").hidden));
  $("more").addEventListener("click", more);
  $("table").addEventListener("click", saveTable);
  listenInDetail();
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.setKey($("key").value.trim());
    $("asking").close();
    begin();
  });
  moveByKeys($("results"), act, () => query.focus());
  document.addEventListener("keydown", onKey);
  document.addEventListener("paste", onPaste);
  addEventListener("popstate", wentBack);
  listenForDrops();
}

/** Follow the address, which Back and Forward have changed: nothing is asked again where only a picture opens or closes. */
function wentBack() {
  const before = state;
  state = readAddress();
  typing = false;
  const same = addressOf({ ...before, item: "" }) === addressOf({ ...state, item: "" }) && media === null;
  if (!state.item) closeDetail();
  if (same) {
    if (state.item) openById(state.item);
    return;
  }
  media = null;
  if (state.collection !== before.collection) begin();
  else {
    show();
    look();
  }
}

function typed() {
  state.text = $("query").value;
  writeAddress(state, !typing);
  typing = true;
  clearTimeout(pause);
  pause = setTimeout(look, PAUSE);
}

function changed(change) {
  state = { ...state, ...change };
  typing = false;
  writeAddress(state, true);
  look();
}

/** Take a choice of a filter; a `fresh` one is a step of its own. */
function choose(field, choice, fresh) {
  const chosen = new Map(state.chosen);
  if (choice) chosen.set(field, choice);
  else chosen.delete(field);
  state = { ...state, chosen };
  typing = false;
  showActive();
  writeAddress(state, fresh);
  clearTimeout(pause);
  pause = setTimeout(look, PAUSE);
}

function clearFilters() {
  changed({ chosen: new Map() });
  show();
}

function openFilters(open) {
  $("filters").hidden = !open;
  $("toggle").setAttribute("aria-expanded", String(open));
}

/** Let the page speak another language from now on: it comes anew, with the same search. */
function speak(language) {
  const folder = new URL(".", document.baseURI.split(/[?#]/)[0]).pathname;
  document.cookie = `${given.cookie}=${language}; path=${folder}; max-age=31536000; samesite=lax`;
  // Where a browser keeps no cookies, the address says it.
  state.ui = document.cookie.includes(`${given.cookie}=${language}`) ? "" : language;
  location.assign(addressOf(state));
}

async function saveTable() {
  const filter = filterText(state.chosen);
  const count = Math.min(given.most_of_table, total ?? given.most_of_table);
  try {
    const table = asking()
      ? await api.search({ ...question(filter), k: count }, media, undefined, true)
      : await api.items(about.name, filter, Math.min(1000, count), "", undefined, true);
    const save = element("a", "");
    save.href = URL.createObjectURL(table);
    save.download = `${(state.text.trim() || about.name).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.csv`;
    save.click();
    setTimeout(() => URL.revokeObjectURL(save.href), 60000);
  } catch (error) {
    fail(error, saveTable);
  }
}

// One picture in detail: a step that Back undoes, and an address of its own.

function listenInDetail() {
  const detail = $("detail");
  $("close").addEventListener("click", () => detail.close());
  detail.addEventListener("click", (event) => {
    if (event.target === detail) detail.close();
  });
  detail.addEventListener("close", () => {
    emptyDetail(detail);
    if (state.item) {
      state = { ...state, item: "" };
      // Where opening it was a step of this page, closing it goes that step back.
      if (history.state?.opened) history.back();
      else writeAddress(state, false);
    }
    showTitle();
  });
  $("like").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    like(detail.item);
  });
  for (const [id, step] of [["previous", -1], ["next", 1]]) $(id).addEventListener("click", () => openBeside(step));
  detail.addEventListener("keydown", (event) => {
    if (event.target.matches("video") || event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = document.documentElement.dir === "rtl" ? -1 : 1;
    const step = { ArrowRight: forward, ArrowLeft: -forward }[event.key];
    if (!step) return;
    event.preventDefault();
    openBeside(step);
  });
}

function open(item, asNew) {
  state = { ...state, item: item.item_id };
  const address = addressOf(state);
  if (asNew) history.pushState({ opened: true }, "", address);
  else history.replaceState(history.state, "", address);
  showItem(item);
  $("like").href = act.addressOfLike(item);
  showPlace();
  showTitle();
}

function showItem(item) {
  $("said").textContent = "";
  showDetail($("detail"), item, about.name, captionLanguage);
  offer();
}

/** Let those who may write correct the captions of the picture that is open. */
function offer() {
  const mayWrite = about.writable && (api.keyed() || !about.key_for_changes);
  if (mayWrite && $("detail").open) offerCorrections($("detail"), about.name, corrected);
}

/** Show an item whose caption in a language was corrected, or taken back. */
function corrected(item) {
  const at = shown.findIndex((one) => one.item_id === item.item_id);
  if (at >= 0) {
    // With what the search said of it.
    shown[at] = { ...shown[at], ...item };
    captionTile($("results").children[at], shown[at], captionLanguage);
  }
  if ($("detail").item?.item_id !== item.item_id) return;
  showItem(shown[at] ?? item);
  $("said").textContent = say("saved");
  // The button that was pressed is gone.
  $("close").focus();
  showTitle();
}

/** Open an item by its id, which need not be among those on the page. */
async function openById(id) {
  try {
    const item = shown.find((one) => one.item_id === id) ?? (await api.item(id, about.name));
    if (state.item === id) open(item, false);
  } catch (error) {
    state = { ...state, item: "" };
    writeAddress(state, false);
    fail(error, look);
  }
}

async function openBeside(step) {
  const here = shown.findIndex((item) => item.item_id === $("detail").item?.item_id);
  if (here < 0) return;
  if (here + step >= shown.length && further !== null) await more();
  const item = shown[here + step];
  if (item && $("detail").open) open(item, false);
}

/** Say which of the pictures is open, and where others are beside it. */
function showPlace() {
  const here = shown.findIndex((item) => item.item_id === $("detail").item?.item_id);
  $("place").textContent = here < 0 ? "" : say("place", { place: number(here + 1), count: number(further === null ? shown.length : total) });
  $("previous").disabled = here <= 0;
  $("next").disabled = here < 0 || (here === shown.length - 1 && further === null);
}

/** Close the picture without a step of its own. */
function closeDetail() {
  state = { ...state, item: "" };
  if ($("detail").open) $("detail").close();
}

function like(item) {
  media = null;
  liked = item;
  const opened = $("detail").open;
  state = { ...state, item: "" };
  if (opened) $("detail").close();
  $("query").value = "";
  changed({ like: item.item_id, text: "" });
  showAttached();
  scrollTo({ top: 0 });
  $("query").focus();
}

// What the person says.

/** Listen until the microphone is pressed again, or time is up. */
async function hear() {
  if (listening) return;
  const known = given.speech.languages;
  if (state.lang && known && !known.includes(state.lang) && !known.includes(state.lang.split("-")[0])) {
    tellOfSpeech(tell({ code: "speech_language_unknown", arguments: { language: state.lang } }));
    return;
  }
  const mine = (listening = {});
  showListening();
  let recording;
  try {
    const { record } = await import("./speech.js");
    const level = (loud) => $("speak").style.setProperty("--level", loud.toFixed(2));
    recording = await record(given.speech.seconds, level, () => mine === listening && understand(mine.stop()));
  } catch (error) {
    if (mine !== listening) return;
    quiet();
    // What else goes wrong is that a module cannot be fetched.
    tellOfSpeech(say(error.message in given.strings ? error.message : "unreachable"));
    return;
  }
  if (mine !== listening) {
    recording.cancel(); // no longer wanted when the browser was done
    return;
  }
  Object.assign(mine, recording);
  tellOfSpeech(say("listening"));
}

/** Ask for what was said; the text that was understood comes into the field, where it can be corrected. */
async function understand(sound) {
  listening = null;
  showListening();
  tellOfSpeech(say("understanding"));
  clearTimeout(pause);
  further = 0;
  total = null;
  const answer = await ask(hear, sound);
  if (!answer) {
    tellOfSpeech("");
    return;
  }
  shown = [];
  state = { ...state, text: answer.heard.text };
  typing = false;
  writeAddress(state, true);
  show();
  showAnswer(answer);
  tellOfSpeech(say("heard", { text: answer.heard.text }));
  $("query").focus();
}

/** Stop listening, and say nothing of it. */
function quiet() {
  const before = listening;
  listening = null;
  before?.cancel?.();
  if (!$("speak")) return;
  showListening();
  tellOfSpeech("");
}

function showListening() {
  const label = say(listening ? "speak_done" : "speak");
  $("speak").classList.toggle("hears", listening !== null);
  $("speak").setAttribute("aria-label", label);
  $("speak").title = label;
  $("speak").style.removeProperty("--level");
  $("unspeak").hidden = listening === null;
  showLanguages(spoken);
}

function tellOfSpeech(text) {
  $("listening").textContent = text;
}

function attach(file) {
  if (!file) return;
  if (!api.kindOf(file)) {
    notice([say("not_media")]);
    return;
  }
  media = file;
  changed({ like: "" });
  showAttached();
}

function askForKey() {
  const again = $("key").value !== "";
  api.forgetKey();
  $("asking").querySelector("p").textContent = say(again ? "wrong_key" : "key_hint");
  $("key").value = "";
  if (!$("asking").open) $("asking").showModal();
}

function onKey(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && listening) {
    event.preventDefault();
    quiet();
    $("speak").focus();
    return;
  }
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
