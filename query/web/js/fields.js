// Form fields: each with a label, a hint and a place for its error.

import { h, newId } from "./dom.js";

/** A text field, or another type of input. With `options`, known values are suggested. */
export function input({ label, name, value = "", hint, options, wide, ...attributes }) {
  const id = newId(name);
  const listId = options && newId(`${name}-list`);
  const control = h("input", { id, name, value, list: listId, autocomplete: "off", spellcheck: "false", ...attributes });
  const list = options && h("datalist", { id: listId }, options.map((option) => h("option", { value: option })));
  return field(id, label, control, hint, wide, list);
}

/** A select field. `options`: texts, or pairs of value and text. */
export function select({ label, name, value = "", options, hint, wide, ...attributes }) {
  const id = newId(name);
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const control = h("select", { id, name, ...attributes }, pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return field(id, label, control, hint, wide);
}

/** A checkbox. */
export function check({ label, name, value, hint, wide }) {
  const id = newId(name);
  const hintId = hint && newId("hint");
  const box = h("input", { id, name, type: "checkbox", checked: Boolean(value), "aria-describedby": hintId });
  return h(
    "div",
    { class: `field${wide ? " wide" : ""}` },
    h("div", { class: "check" }, box, h("label", { for: id }, label)),
    hint && h("span", { class: "hint", id: hintId }, hint),
  );
}

/** Radio buttons, side by side. */
export function segmented({ label, name, value, options }) {
  const one = ([key, text]) =>
    h("label", {}, h("input", { type: "radio", name, value: key, checked: key === value }), text);
  return h(
    "div",
    { class: "field fitting" },
    h("span", { class: "label", "aria-hidden": "true" }, label),
    h("fieldset", { class: "segmented", "aria-label": label }, options.map(one)),
  );
}

/** A form that never leaves the page. `onSubmit` gets the given values by name. */
export function form(label, onSubmit, ...children) {
  const submit = (event) => {
    event.preventDefault();
    // A date that is typed in part has an empty value, which would mean that nothing was asked for.
    const partial = [...event.currentTarget.elements].find((control) => control.validity?.badInput && !control.closest("[hidden]"));
    if (partial) return markInvalid(event.currentTarget, partial.name, "give the whole date and time, or clear it");
    onSubmit(values(event.currentTarget), event.submitter);
  };
  return h("form", { "aria-label": label, novalidate: true, onsubmit: submit }, children);
}

/** The given values of a form by name. */
export function values(element) {
  const given = {};
  for (const [name, value] of new FormData(element)) {
    const text = value.trim();
    if (text !== "") given[name] = text;
  }
  return given;
}

/** Marks the field that a problem names, shows why, and focuses it. True if there is such a field. */
export function markInvalid(element, name, reason) {
  clearInvalid(element);
  const control = element.elements[name];
  if (!(control instanceof HTMLElement)) return false;
  const id = newId("wrong");
  control.setAttribute("aria-invalid", "true");
  // The previous description is restored when the error is cleared.
  control.dataset.described = control.getAttribute("aria-describedby") ?? "";
  control.setAttribute("aria-describedby", id);
  control.after(h("span", { class: "wrong", id }, reason));
  control.focus();
  return true;
}

/** Removes these marks. */
export function clearInvalid(element) {
  for (const marked of element.querySelectorAll("[aria-invalid]")) {
    marked.removeAttribute("aria-invalid");
    if (marked.dataset.described) marked.setAttribute("aria-describedby", marked.dataset.described);
    else marked.removeAttribute("aria-describedby");
  }
  for (const reason of element.querySelectorAll(".wrong")) reason.remove();
}

function field(id, label, control, hint, wide, ...more) {
  const hintId = hint && newId("hint");
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h(
    "div",
    { class: `field${wide ? " wide" : ""}` },
    h("label", { for: id }, label),
    control,
    more,
    hint && h("span", { class: "hint", id: hintId }, hint),
  );
}
