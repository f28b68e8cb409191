// Compare: two programs or artifacts on the same rows, row by row.

import { h, fill, button, select, setOptions, input, value, empty, problem, plural, signed } from "./dom.js";
import { events } from "./api.js";
import { bars } from "./chart.js";
import { table, fieldColumns, brief, score } from "./table.js";
import { work } from "./work.js";

const MOST = 500;

export function compareView() {
  const first = select("before", [], "");
  const second = select("after", [], "");
  const data = select("rows", [["", "as the program says"]], "");
  const limit = input("at most", "50", { inputmode: "numeric", size: 6, "aria-label": "at most so many rows" });
  const model = input("model", work.model, { placeholder: "as the program says" });
  const start = button("Compare", () => run(), { class: "primary" });
  const stop = button("Stop", () => running?.abort(), { disabled: true });
  const out = h("div");
  let running = null;
  const element = h("div", { class: "compare" }, h("section", { class: "panel" },
    h("div", { class: "bar" }, first, second, data, limit, model),
    h("p", { class: "soft" }, "Both run on the same rows, which calls models. Two files of results are compared without a call."),
    h("div", { class: "bar" }, start, stop)), out);

  function files() {
    const names = work.of("program", "artifact", "results");
    const before = first.list.value || work.of("program")[0];
    setOptions(first.list, names, names.includes(before) ? before : names[0]);
    const after = second.list.value || work.of("artifact")[0] || names.find((one) => one !== before);
    setOptions(second.list, names, after);
    setOptions(data.list, [["", "as the program says"], ...work.of("rows").map((one) => [one, one])], data.list.value);
    start.disabled = names.length < 2;
    if (names.length < 2) fill(out, empty("There is nothing to compare yet.", "It takes two programs, artifacts or files of results. Compile makes an artifact."));
    else if (out.querySelector(".empty")) fill(out);
  }

  async function run() {
    running = new AbortController();
    start.disabled = true;
    stop.disabled = false;
    const progress = [h("progress", { max: 1, value: 0, "aria-label": "before" }), h("progress", { max: 1, value: 0, "aria-label": "after" })];
    const words = h("p", { class: "soft busy" }, "loading …");
    fill(out, h("section", { class: "panel" }, words, progress));
    const body = { first: first.list.value, second: second.list.value, data: data.list.value, limit: Number(limit.box.value) || null, model: model.box.value || null };
    let told = false;
    try {
      await events("api/compare", body, (name, found) => {
        if (name === "progress") {
          Object.assign(progress[found.side], { max: found.total, value: found.done });
          fill(words, `${["before", "after"][found.side]}: ${found.done} of ${plural(found.total, "row")}`);
        } else if (name === "compared") { told = true; show(found, body); }
        else if (name === "failed") { told = true; fill(out, problem(found)); }
        else if (name === "end" && !told) fill(out, problem({ message: "the comparison ended", help: found.said.split("\n").slice(-4).join("\n") }));
      }, running.signal);
    } catch (failure) {
      fill(out, failure.name === "AbortError" ? empty("Stopped.") : problem(failure));
    }
    running = null;
    start.disabled = false;
    stop.disabled = true;
  }

  function show(found, body) {
    const tests = { all: () => true, lost: (row) => row.gain < 0, won: (row) => row.gain > 0, changed: (row) => JSON.stringify(row.before.pred) !== JSON.stringify(row.after.pred), failed: (row) => row.before.error || row.after.error };
    const list = h("div");
    const counts = Object.fromEntries(Object.entries(tests).map(([name, test]) => [name, found.rows.filter(test).length]));
    const kind = select("show", [["all", `all rows (${counts.all})`], ["lost", `losses (${counts.lost})`], ["won", `gains (${counts.won})`], ["changed", `other answers (${counts.changed})`], ["failed", `failed (${counts.failed})`]], "all", () => draw());
    const figures = found.figures;
    fill(out, h("section", { class: "panel" },
      figures ? [bars([["before", figures.before, "before"], ["after", figures.after, "after"]]),
        h("p", { class: "verdict" }, `${signed(figures.difference.mean)} on ${plural(figures.rows, "row")}, 95 % interval ${signed(figures.difference.low)} to ${signed(figures.difference.high)}; ${figures.won} won, ${figures.lost} lost`)] : h("p", { class: "soft" }, "No row has a score on both sides."),
      found.alone.some(Boolean) ? h("p", { class: "soft" }, `Not on both sides: ${found.alone[0]} before, ${found.alone[1]} after.`) : null,
      h("p", { class: "soft" }, `before: ${body.first}, after: ${body.second}`)),
    h("section", { class: "panel" }, h("div", { class: "bar" }, kind), list));
    function draw() {
      const rows = found.rows.filter(tests[kind.list.value]);
      fill(list, rows.length ? table([
        ["row", (row) => brief(row.id, 14)],
        ...fieldColumns(rows, (row) => row.values, 3),
        ["before", (row) => answer(row.before), "value"], ["after", (row) => answer(row.after), "value"],
        ["score", (row) => h("span", {}, score(row.before.score), " → ", score(row.after.score)), "number"],
      ], rows.slice(0, MOST), open) : empty("No row fits."), rows.length > MOST ? h("p", { class: "soft" }, `the first ${MOST} are shown`) : null);
    }
    draw();
  }

  const answer = (side) => (side.error ? h("span", { class: "bad" }, brief(side.error, 50)) : brief(side.pred, 50));
  const open = (row) => h("div", { class: "run" }, row.values ? [h("h4", {}, "the row"), value(row.values)] : null,
    h("div", { class: "two" }, ["before", "after"].map((side) => h("div", {}, h("h4", {}, side), row[side].error ? h("p", { class: "bad" }, row[side].error) : value(row[side].pred),
      row[side].feedback ? h("p", {}, row[side].feedback) : null, h("p", { class: "facts" }, `${row[side].calls} calls · ${row[side].tokens} tokens`)))));

  work.addEventListener("files", files);
  files();
  return { element, shown: files };
}
