// Rows: look at a file of rows, edit rows and labels, and write them as a new file.

import { h, fill, button, select, setOptions, input, empty, problem, tell, plural } from "./dom.js";
import { post } from "./api.js";
import { table, pager, brief } from "./table.js";
import { work } from "./work.js";

const PAGE = 50;

export function rowsView() {
  const file = select("file", [], "", () => open());
  const list = h("div");
  const name = input("new file", "", { size: 26 });
  const save = button("Save as a new file", () => write(), { class: "primary", disabled: true });
  const state = h("span", { class: "soft", "aria-live": "polite" });
  const element = h("div", { class: "rows" }, h("section", { class: "panel" },
    h("div", { class: "bar" }, file, name, save, button("Add a row", () => edit(null)), state), list));
  let page = null;
  let edits = fresh();

  function fresh() { return { changed: {}, removed: [], added: [] }; }
  const count = () => Object.keys(edits.changed).length + edits.removed.length + edits.added.length;

  function files() {
    const names = work.of("rows");
    const before = file.list.value;
    setOptions(file.list, names, names.includes(before) ? before : names[0]);
    if (!names.length) fill(list, empty("There are no rows here.", "Files of rows end in .jsonl, .json, .csv, .tsv or .parquet."));
    else if (!page || before !== file.list.value) open();
  }

  function open() {
    if (count() && page) tell(`${plural(count(), "edit")} of ${page.file} forgotten`);
    edits = fresh();
    load(0, true);
  }

  async function load(first, named = false) {
    const asked = file.list.value;
    if (!asked) return;
    try {
      page = { ...(await post("api/row-file", { file: asked, first, count: PAGE })), file: asked };
      if (named) name.box.value = page.new_name;
      draw();
    } catch (failure) { page = null; fill(list, problem(failure)); }
  }

  function draw() {
    const edited = count();
    save.disabled = !edited;
    fill(state, edited ? `${plural(edited, "edit")}, not saved` : "");
    const rows = page.rows.map((row) => ({ ...row, values: edits.changed[row.number] ?? row.values, gone: edits.removed.includes(row.number), isChanged: row.number in edits.changed }));
    const last = page.first + PAGE >= page.total;
    if (last) edits.added.forEach((values, n) => rows.push({ number: null, added: n, values, isChanged: true }));
    fill(list, table([
      ["", (row) => button(row.number === null ? "new" : String(row.number + 1), () => edit(row), { class: "link", "aria-label": `edit row ${row.number === null ? "new" : row.number + 1}` })],
      ...page.columns.map((column) => [column, (row) => h("span", { class: row.gone ? "gone" : row.isChanged ? "changed" : "" }, brief(row.values[column])), "value"]),
      ["", (row) => (row.gone ? button("Keep", () => { edits.removed.splice(edits.removed.indexOf(row.number), 1); draw(); }, { class: "quiet" }) : null)],
    ], rows), pager(page.first, PAGE, page.total, (first) => load(first)));
  }

  function edit(row) {
    if (!page) return;
    const columns = page.columns.length ? page.columns : ["value"];
    const boxes = new Map();
    const wrong = h("p", { class: "bad", role: "alert" });
    const dialog = h("dialog", { "aria-label": "Row" }, h("form", { method: "dialog", on: { submit: keep } },
      h("h3", {}, row ? (row.number === null ? "New row" : `Row ${row.number + 1}`) : "New row"),
      columns.map((column) => {
        const value = row?.values[column];
        const asText = page.texts || typeof value === "string" || (!row && true);
        const box = h("textarea", { rows: Math.min(8, Math.max(1, Math.ceil(String(value ?? "").length / 38))), spellcheck: "true" });
        box.value = value === undefined ? "" : asText ? value : JSON.stringify(value, null, 1);
        boxes.set(column, { box, asText, there: value !== undefined });
        return h("label", { class: "field tall" }, h("span", {}, column, asText ? "" : h("code", { class: "type" }, "JSON")), box);
      }), wrong,
      h("div", { class: "bar" }, h("button", { class: "primary" }, "Keep"), button("Cancel", () => dialog.close()),
        row && !row.gone ? button("Remove the row", () => { remove(row); dialog.close(); }, { class: "quiet bad" }) : null,
        row?.isChanged && row.number !== null ? button("Undo its edits", () => { delete edits.changed[row.number]; dialog.close(); draw(); }, { class: "quiet" }) : null)));

    function keep(event) {
      event.preventDefault();
      const values = { ...(row?.values ?? {}) };
      for (const [column, { box, asText, there }] of boxes) {
        if (!there && box.value === "" && !page.texts) continue;
        try {
          values[column] = asText ? (page.texts || row ? box.value : guess(box.value)) : JSON.parse(box.value);
        } catch (failure) { fill(wrong, `${column} is not JSON: ${failure.message}`); box.focus(); return; }
      }
      if (!row) edits.added.push(values);
      else if (row.number === null) edits.added[row.added] = values;
      else if (JSON.stringify(values) !== JSON.stringify(row.values)) edits.changed[row.number] = values;
      dialog.close();
      if (!row && page.first + PAGE < page.total) load(Math.floor((page.total - 1) / PAGE) * PAGE);
      else draw();
    }
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  // A new cell takes the type that the same column has in other rows.
  function guess(text) {
    try {
      const found = JSON.parse(text);
      return typeof found === "string" ? text : found;
    } catch { return text; }
  }

  function remove(row) {
    if (row.number === null) edits.added.splice(row.added, 1);
    else { delete edits.changed[row.number]; edits.removed.push(row.number); }
    draw();
  }

  async function write() {
    try {
      const made = await post("api/row-file/save", { file: page.file, as: name.box.value, edits });
      tell(`wrote ${made.file} with ${plural(made.rows, "row")}; ${page.file} is as it was`, "good");
      edits = fresh();
      await work.refresh();
      file.list.value = made.file;
      load(0, true);
    } catch (failure) { tell(failure.message + (failure.help ? ` (${failure.help})` : ""), "bad"); }
  }

  work.addEventListener("files", files);
  return { element, shown: files, get unsaved() { return count() > 0; } };
}
