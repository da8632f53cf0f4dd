// Controls for the fields of a collection: boxes for few values, two ends for numbers.

import { given, number, say } from "./strings.js";

/** Kinds of items, and the texts that name them. */
const KINDS = { image: "kind_image", video: "kind_video", text: "kind_text" };

const MOST_SHOWN = 12;

/** Fill `form` for `fields`; `changed(field, choice or null, fresh)` is called on every change,
 * `fresh` where it is no further letter of the same number. */
export function showFilters(form, fields, chosen, changed) {
  form.replaceChildren();
  for (const field of fields) {
    const group = field.values && field.values.length > 1 ? boxes(field, chosen, changed)
      : field.minimum !== null && field.minimum < field.maximum ? ends(field, chosen, changed) : null;
    if (group) form.append(group);
  }
  return form.childElementCount;
}

function fieldset(field) {
  const group = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = field.name === "kind" ? say("kind") : field.name.replaceAll("_", " ");
  legend.dir = "auto";
  group.append(legend);
  return group;
}

function boxes(field, chosen, changed) {
  const group = fieldset(field);
  const now = chosen.get(field.name)?.values ?? [];
  const list = document.createElement("div");
  list.className = field.values.length > MOST_SHOWN ? "boxes many" : "boxes";
  for (const { value, count } of field.values) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = now.includes(value);
    box.addEventListener("change", () => {
      const values = field.values.map((one) => one.value).filter((_, at) => list.querySelectorAll("input")[at].checked);
      changed(field.name, values.length ? { values } : null, true);
    });
    const name = document.createElement("span");
    name.dir = "auto";
    const kind = field.name === "kind" && KINDS[value];
    name.textContent = kind ? say(kind) : typeof value === "boolean" ? say(value ? "yes" : "no") : String(value);
    const many = document.createElement("span");
    many.className = "many-of";
    many.textContent = number(count);
    label.append(box, name, many);
    list.append(label);
  }
  group.append(list);
  return group;
}

function ends(field, chosen, changed) {
  const group = fieldset(field);
  const row = document.createElement("div");
  row.className = "ends";
  const inputs = ["least", "most"].map((end) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "number";
    input.step = "any";
    input.min = field.minimum;
    input.max = field.maximum;
    input.placeholder = end === "least" ? field.minimum : field.maximum;
    input.value = chosen.get(field.name)?.[end] ?? "";
    const name = document.createElement("span");
    name.textContent = say(end);
    label.append(name, input);
    row.append(label);
    return input;
  });
  let fresh = true;
  for (const input of inputs) {
    input.addEventListener("focus", () => (fresh = true));
    input.addEventListener("input", () => {
      const [least, most] = inputs.map((one) => (one.value === "" ? null : one.valueAsNumber));
      if ([least, most].some(Number.isNaN)) return;
      changed(field.name, least === null && most === null ? null : { least, most }, fresh);
      fresh = false;
    });
  }
  group.append(row);
  return group;
}
