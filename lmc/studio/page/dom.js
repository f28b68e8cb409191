// Elements from data. Texts become text nodes, never HTML.

export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (name === "class") made.className = value;
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden" || name === "selected") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  add(made, children);
  return made;
}

function add(to, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    to.append(child instanceof Node ? child : String(child));
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

export function button(label, act, props = {}) {
  return h("button", { type: "button", ...props, on: { click: act } }, label);
}

export function select(label, options, value, act, props = {}) {
  const list = h("select", { ...props, on: { change: () => act?.(list.value) } });
  setOptions(list, options, value);
  return Object.assign(h("label", { class: "field" }, h("span", {}, label), list), { list });
}

export function setOptions(list, options, value) {
  fill(list, options.map((one) => {
    const [id, text] = Array.isArray(one) ? one : [one, one];
    return h("option", { value: id, selected: id === value }, text);
  }));
  if (value !== undefined) list.value = value;
  if (list.selectedIndex < 0 && list.options.length) list.selectedIndex = 0;
}

export function input(label, value, props = {}) {
  const box = h("input", { type: "text", value: value ?? "", spellcheck: "false", autocomplete: "off", ...props });
  return Object.assign(h("label", { class: "field" }, h("span", {}, label), box), { box });
}

let hiding = 0;
export function tell(text, kind = "") {
  const place = document.getElementById("told");
  place.className = kind;
  place.textContent = text;
  clearTimeout(hiding);
  if (text) hiding = setTimeout(() => { place.textContent = ""; place.className = ""; }, kind === "bad" ? 12000 : 4000);
}

export function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// A JSON value for people: texts as they are, objects as a list of their fields.
export function value(found, depth = 0) {
  if (found === null || found === undefined) return h("span", { class: "soft" }, "none");
  if (typeof found === "string") return h("span", { class: "text" }, found === "" ? "“”" : found);
  if (typeof found !== "object") return h("span", { class: "plain" }, String(found));
  if (depth > 5) return h("code", {}, JSON.stringify(found));
  if (Array.isArray(found)) {
    if (!found.length) return h("span", { class: "soft" }, "empty list");
    if (found.every((one) => typeof one !== "object")) return h("span", { class: "text" }, found.map(shown).join(", "));
    return h("ol", { class: "values" }, found.slice(0, 100).map((one) => h("li", {}, value(one, depth + 1))));
  }
  const entries = Object.entries(found);
  if (!entries.length) return h("span", { class: "soft" }, "no fields");
  return h("dl", { class: "values" }, entries.map(([key, one]) => [h("dt", {}, key), h("dd", {}, value(one, depth + 1))]));
}

export function number(found, digits = 3) {
  if (found === null || found === undefined) return "–";
  return Number.isInteger(found) ? found.toLocaleString("en") : found.toFixed(digits);
}

export function signed(found) {
  return (found > 0 ? "+" : found < 0 ? "−" : "±") + Math.abs(found).toFixed(3);
}

export function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    const count = Math.floor(past / size);
    if (count >= 1) return `${count} ${name}${count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}

export function plural(count, name) {
  return `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`;
}

// What is said where there is nothing to show.
export function empty(title, ...words) {
  return h("div", { class: "empty" }, h("p", { class: "strong" }, title), words.length ? h("p", {}, words) : null);
}

export function problem(failure) {
  const errors = failure.errors ?? [{ message: failure.message, help: failure.help }];
  return h("div", { class: "problem", role: "alert" }, errors.map((one) => h("p", {},
    h("strong", {}, one.message), one.place ? h("span", { class: "soft" }, ` ${one.place.file}:${one.place.line}`) : null,
    one.help ? h("span", { class: "help" }, one.help) : null)));
}

export function debounce(act, delay) {
  let due = 0;
  return (...given) => { clearTimeout(due); due = setTimeout(() => act(...given), delay); };
}
