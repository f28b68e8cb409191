// A form for the inputs of a module or pipeline, made from the JSON Schema of their types.

import { h, fill, button } from "./dom.js";

let count = 0;

export function form(schema, order, types = {}) {
  const fields = new Map();
  const element = h("div", { class: "form" });
  const draw = (values = {}) => {
    fields.clear();
    fill(element, order.filter((name) => name in schema.properties).map((name) => {
      const own = schema.properties[name];
      const needed = (schema.required ?? []).includes(name);
      const made = field(own, name in values ? values[name] : own.default, schema);
      fields.set(name, { made, needed });
      const id = `field-${count += 1}`;
      const note = own.description ? h("span", { class: "note", id: `${id}-note` }, own.description) : null;
      name_(made, id, note);
      return h("div", { class: "entry" },
        h("label", { for: id }, name, h("code", { class: "type" }, types[name] ?? ""), needed ? null : h("span", { class: "soft" }, " optional")),
        note, made.element);
    }));
    if (!element.childNodes.length) fill(element, h("p", { class: "soft" }, "It has no inputs."));
  };
  draw();
  return {
    element,
    set: draw,
    get() {
      const found = {};
      for (const [name, { made, needed }] of fields) {
        const value = made.get();
        if (value !== undefined || needed) found[name] = value ?? null;
      }
      return found;
    },
  };
}

function name_(made, id, note) {
  const target = made.element.matches("input, textarea, select") ? made.element : made.element.querySelector("input, textarea, select");
  if (target) target.id = id;
  if (target && note) target.setAttribute("aria-describedby", note.id);
}

function resolved(schema, root) {
  const to = schema?.$ref?.split("/").pop();
  return to ? (root.$defs ?? {})[to] ?? {} : schema ?? {};
}

function field(given, value, root) {
  const schema = resolved(given, root);
  const options = schema.enum ?? (schema.const !== undefined ? [schema.const] : null);
  const none = (schema.anyOf ?? []).some((one) => resolved(one, root).type === "null");
  const others = (schema.anyOf ?? []).filter((one) => resolved(one, root).type !== "null");
  if (none && others.length === 1) return optional(others[0], value, root);
  if (options) return choice(options, value);
  if (schema.contentMediaType) return media(schema.contentMediaType, value);
  if (schema.type === "string") return text(value);
  if (schema.type === "integer" || schema.type === "number") return number(schema, value);
  if (schema.type === "boolean") return yesNo(value);
  if (schema.type === "array" && schema.items) return list(schema, value, root);
  if (schema.type === "object" && schema.properties) return record(schema, value, root);
  return json(value);
}

function text(value) {
  const box = h("textarea", { rows: 1, spellcheck: "true", on: { input: () => grow(box) } });
  box.value = typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
  requestAnimationFrame(() => grow(box));
  return { element: box, get: () => box.value };
}

function grow(box) {
  box.style.height = "auto";
  if (box.scrollHeight) box.style.height = `${Math.min(box.scrollHeight + 2, 320)}px`;
}

// A file, which becomes a `data:` URL. Values that were chosen elsewhere stay until another file is.
function media(accept, value) {
  let found = value ?? undefined;
  let problem = "";
  const picture = h("img", { alt: "", hidden: true });
  const words = h("span", { class: "soft" }, found ? `as given: ${JSON.stringify(found).slice(0, 80)}` : "");
  const box = h("input", { type: "file", accept });
  box.addEventListener("change", () => {
    const file = box.files[0];
    URL.revokeObjectURL(picture.src);
    picture.hidden = !file?.type.startsWith("image/");
    if (!picture.hidden) picture.src = URL.createObjectURL(file);
    fill(words, file ? `${file.type || "a file"}, ${Math.ceil(file.size / 1024)} KiB` : "");
    found = undefined;
    if (file) read(file);
  });
  function read(file) {
    problem = `${file.name} is not read yet`;
    const reader = new FileReader();
    reader.addEventListener("load", () => { if (file === box.files[0]) [found, problem] = [reader.result, ""]; });
    reader.addEventListener("error", () => { problem = `${file.name} cannot be read`; });
    reader.readAsDataURL(file);
  }
  return {
    element: h("div", { class: "media" }, box, picture, words),
    get() { if (problem) throw new Error(problem); return found; },
  };
}

function number(schema, value) {
  const box = h("input", {
    type: "number", step: schema.type === "integer" ? 1 : "any", min: schema.minimum, max: schema.maximum, value: value ?? "",
  });
  return { element: box, get: () => (box.value === "" ? undefined : Number(box.value)) };
}

function yesNo(value) {
  const box = h("select", {}, h("option", { value: "true" }, "yes"), h("option", { value: "false" }, "no"));
  box.value = value ? "true" : "false";
  return { element: box, get: () => box.value === "true" };
}

function choice(options, value) {
  const box = h("select", {}, options.map((one, n) => h("option", { value: n }, String(one))));
  box.value = String(Math.max(0, options.indexOf(value)));
  return { element: box, get: () => options[Number(box.value)] };
}

function optional(schema, value, root) {
  const there = value !== undefined && value !== null;
  const made = field(schema, there ? value : undefined, root);
  const box = h("input", { type: "checkbox", checked: there, "aria-label": "give a value" });
  const sync = () => { made.element.hidden = !box.checked; };
  box.addEventListener("change", sync);
  sync();
  return { element: h("div", { class: "optional" }, h("label", { class: "inline" }, box, " give a value"), made.element), get: () => (box.checked ? made.get() : null) };
}

function list(schema, value, root) {
  const items = [];
  const rows = h("div", { class: "items" });
  const draw = () => fill(rows, items.map((made, n) => h("div", { class: "item" }, made.element,
    button("×", () => { items.splice(n, 1); draw(); }, { "aria-label": `remove item ${n + 1}`, class: "quiet" }))));
  for (const one of Array.isArray(value) ? value : []) items.push(field(schema.items, one, root));
  draw();
  const more = button("Add an item", () => { items.push(field(schema.items, undefined, root)); draw(); rows.lastElementChild?.querySelector("input, textarea, select")?.focus(); }, { class: "quiet" });
  return { element: h("div", { class: "list" }, rows, more), get: () => items.map((made) => made.get()) };
}

function record(schema, value, root) {
  const made = new Map();
  const inner = Object.entries(schema.properties).map(([name, own]) => {
    const part = field(own, value?.[name] ?? own.default, root);
    made.set(name, part);
    const id = `field-${count += 1}`;
    name_(part, id);
    return h("div", { class: "entry" }, h("label", { for: id }, name), part.element);
  });
  return {
    element: h("div", { class: "record" }, inner),
    get: () => Object.fromEntries([...made].map(([name, part]) => [name, part.get()]).filter(([, one]) => one !== undefined)),
  };
}

function json(value) {
  const box = h("textarea", { rows: 3, class: "code", placeholder: "JSON", spellcheck: "false" });
  box.value = value === undefined ? "" : JSON.stringify(value, null, 1);
  return {
    element: box,
    get() {
      if (box.value.trim() === "") return undefined;
      try {
        return JSON.parse(box.value);
      } catch (failure) {
        box.focus();
        throw new Error(`this is not JSON: ${failure.message}`);
      }
    },
  };
}
