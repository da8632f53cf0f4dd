// What the page says: the texts of its language, which came with it. Numbers and names of languages come from Intl.

/** What the service has given with the page: its language, texts, and what the house has chosen. */
export const given = JSON.parse(document.getElementById("given").textContent);
export const locale = given.language;

/** The text of a key, with `{name}` replaced by the values given. */
export function say(key, values = {}) {
  return given.strings[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** A warning or an error of the service in the language of the page; `english` is what the service itself says. */
export function tell({ code, arguments: values = {} }, english) {
  if (!(code in given.strings)) return say("refused");
  // English errors say more: the reason why a file cannot be read is known in English alone.
  if (locale === "en" && english) return english;
  return say(code, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, shown(name, value)])));
}

function shown(name, value) {
  if (name === "language") return languageName(value);
  if (Array.isArray(value)) return value.map(name === "languages" ? languageName : String).join(", ");
  return typeof value === "number" ? number(value) : value;
}

/** The name of a language in the language of the page. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([locale], { type: "language" }).of(code) ?? code;
  } catch {
    return code; // `und`, and what is no language tag
  }
}

export function number(value, options = {}) {
  return new Intl.NumberFormat(locale, options).format(value);
}
