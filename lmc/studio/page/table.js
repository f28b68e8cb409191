// Tables whose rows open, and pages of them.

import { h, fill, button, shown } from "./dom.js";

// `columns` are [title, cell, class]; `open` gives what stands below an opened row.
export function table(columns, rows, open) {
  const body = h("tbody");
  for (const row of rows) {
    const line = h("tr", { role: "row", class: open ? "opens" : "" }, columns.map(([title, cell, kind], n) => h("td", { role: "cell", class: kind ?? "", "data-label": title },
      n === 0 && open ? opener(cell(row), () => toggle(row, line)) : cell(row))));
    body.append(line);
  }
  function toggle(row, line) {
    const next = line.nextElementSibling;
    const toggler = line.querySelector(".opener");
    if (next?.classList.contains("opened")) {
      next.remove();
      toggler.setAttribute("aria-expanded", "false");
      return;
    }
    const cell = h("td", { role: "cell", colspan: columns.length });
    line.after(h("tr", { role: "row", class: "opened" }, cell));
    toggler.setAttribute("aria-expanded", "true");
    Promise.resolve(open(row)).then((made) => fill(cell, made), (failure) => fill(cell, h("p", { class: "bad" }, failure.message)));
  }
  return h("div", { class: "wide" }, h("table", { role: "table" }, h("thead", {}, h("tr", { role: "row" }, columns.map(([title, , kind]) => h("th", { role: "columnheader", class: kind ?? "", scope: "col" }, title)))), body));
}

function opener(content, act) {
  return h("button", { type: "button", class: "opener quiet", "aria-expanded": "false", on: { click: act } }, content);
}

export function pager(first, count, total, act) {
  if (total <= count && first === 0) return h("p", { class: "soft" }, total === 1 ? "1 row" : `${total.toLocaleString("en")} rows`);
  const last = Math.min(first + count, total);
  return h("div", { class: "bar pager" },
    button("‹ Earlier", () => act(Math.max(0, first - count)), { disabled: first === 0 }),
    h("span", {}, `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${total.toLocaleString("en")}`),
    button("Later ›", () => act(first + count), { disabled: last >= total }));
}

// Short text of a value for a cell.
export function brief(found, most = 90) {
  if (found === null || found === undefined) return "–";
  const isRecord = typeof found === "object" && !Array.isArray(found) && Object.values(found).every((one) => typeof one !== "object");
  const text = (isRecord ? Object.entries(found).map(([name, one]) => `${name}: ${one}`).join("; ") : shown(found)).replace(/\s+/g, " ");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// One column a field, if the values are objects with few fields.
export function fieldColumns(rows, of, most = 4) {
  const names = [];
  for (const row of rows) for (const name of Object.keys(of(row) ?? {})) if (!names.includes(name)) names.push(name);
  return names.slice(0, most).map((name) => [name, (row) => brief(of(row)?.[name]), "value"]);
}

export function score(found) {
  const kind = found === null || found === undefined ? "soft" : found >= 1 ? "good" : found <= 0 ? "bad" : "";
  return h("span", { class: kind }, found === null || found === undefined ? "–" : String(Math.round(found * 1000) / 1000));
}
