// Runs: compilations with their candidates, and the jobs, rows and calls of the trace store.

import { h, fill, button, select, input, setOptions, value, empty, problem, ago, number, plural, signed, tell } from "./dom.js";
import { get, post } from "./api.js";
import { bars, candidatesChart } from "./chart.js";
import { table, pager, fieldColumns, brief, score } from "./table.js";
import { GraphView, callCard, message } from "./graph.js";
import { work } from "./work.js";

const PAGE = 25;
const SHOWN_WORDS = 6; // of a gate

const strongest = (words) => Object.entries(words).sort((one, other) => other[1] - one[1]).slice(0, SHOWN_WORDS).map(([word]) => word).join(", ");

export function runsView(go) {
  const element = h("div", { class: "runs" });

  async function shown(where) {
    const [what, name] = where ?? [];
    try {
      if (what === "job") await job(name);
      else if (what === "compilation") await compilation(name);
      else await overview();
    } catch (failure) { fill(element, back(), problem(failure)); }
  }

  const back = () => button("‹ All runs", () => go("runs"), { class: "quiet" });

  async function overview() {
    const [{ runs }, { jobs }] = await Promise.all([get("api/compilations"), get("api/jobs")]);
    if (!runs.length && !jobs.length) {
      fill(element, empty("Nothing was run here yet.", "Compilations appear here with their candidates, and every run that they made of a row. Start one under Compile."));
      return;
    }
    fill(element, h("section", { class: "panel" }, h("h2", {}, "Compilations"), runs.length ? table([
      ["run", (one) => button(one.name, () => go("runs", "compilation", one.name), { class: "link" })],
      ["program", (one) => `${one.program ?? "?"} · ${one.target ?? "?"}`],
      ["steps", (one) => one.steps.join(" >> "), "value"],
      ["state", (one) => one.state ?? "?"],
      ["calls", (one) => number(one.used?.calls), "number"],
      ["outcome", (one) => one.verdict ?? "–", "value"],
    ], runs) : h("p", { class: "soft" }, "none")),
    h("section", { class: "panel" }, h("h2", {}, "Traces"), jobs.length ? table([
      ["job", (one) => button(one.job, () => go("runs", "job", one.job), { class: "link" })],
      ["program", (one) => `${one.program} · ${one.target}`],
      ["runs", (one) => number(one.runs), "number"],
      ["rows", (one) => number(one.rows), "number"],
      ["failed", (one) => number(one.failed), "number"],
      ["mean score", (one) => number(one.mean_score), "number"],
      ["calls", (one) => number(one.calls), "number"],
      ["when", (one) => ago(one.created)],
    ], jobs) : h("p", { class: "soft" }, "The trace store is empty: compilations fill it.")));
  }

  // --- one compilation ---

  async function compilation(name) {
    const found = await get("api/compilation", { name });
    const parts = Object.entries(found.parts).filter(([, one]) => one);
    fill(element, back(), h("section", { class: "panel" },
      h("h2", {}, name),
      found.verdict ? h("p", { class: "verdict" }, found.verdict) : h("p", { class: "soft" }, [`the run is ${found.state}`, found.record.why ? `: ${found.record.why}` : ""].join("")),
      parts.map(([part, one]) => [h("h3", {}, `${part} rows: ${one.difference.rows}`), bars([["before", one.before, "before"], ["after", one.after, "after"]]),
        h("p", { class: "soft" }, `difference ${signed(one.difference.mean)}, 95 % interval of this table ${signed(one.difference.low)} to ${signed(one.difference.high)}`)]),
      h("div", { class: "bar" }, button("Open the report", () => report(name), { class: "primary" }), button("Its rows and calls", () => go("runs", "job", found.job)))),
    chartPanel(found), candidates(found), changes(found));
  }

  function chartPanel(found) {
    const events = found.events;
    const picture = candidatesChart(events);
    return h("section", { class: "panel" }, h("h2", {}, "Score against calls"), picture ?? h("p", { class: "soft" }, "no candidate was scored"),
      h("ul", { class: "decisions" }, found.gates.map((one) => h("li", { class: one.accepted ? "good" : "" }, h("strong", {}, one.step), ": ", one.words)),
        found.notes.map((one) => h("li", { class: "soft" }, one))));
  }

  function candidates(found) {
    return h("section", { class: "panel" }, h("h2", {}, plural(found.candidates.length, "candidate")), found.candidates.length ? table([
      ["name", (one) => one.name],
      ["score", (one) => score(one.mean), "number"],
      ["rows", (one) => number(one.rows), "number"],
      ["", (one) => ({ lost: "dropped: not better", budget: "dropped: not enough budget" })[one.dropped] ?? "", "soft"],
    ], found.candidates, (one) => parameters(one.parameters)) : h("p", { class: "soft" }, "none"));
  }

  function parameters(found) {
    const modules = Object.entries(found?.modules ?? {});
    const choices = Object.keys(found?.choices ?? {}).length ? [h("h4", {}, "choices"), value(found.choices)] : null;
    if (!modules.length && !choices) return h("p", { class: "soft" }, "as written");
    return [modules.map(([name, one]) => [h("h4", {}, name),
      one.instruction ? h("pre", {}, one.instruction) : null,
      one.demos?.length ? table([...fieldColumns(one.demos, (demo) => demo.inputs), ["gives", (demo) => brief(demo.outputs), "value"], ["from", (demo) => demo.origin, "soft"]], one.demos) : null,
      one.adapter ? h("p", {}, `weights: ${one.adapter}`) : null,
      one.gates?.length ? table([["weights", (gate) => gate.adapter ?? "the model's own"], ["where the input has", (gate) => strongest(gate.words)]], one.gates) : null]), choices];
  }

  function changes(found) {
    const chosen = found.parameters?.modules ?? {};
    if (!Object.keys(chosen).length) return null;
    return h("section", { class: "panel" }, h("h2", {}, "What was learnt"), parameters(found.parameters));
  }

  async function report(name) {
    const opened = window.open("", "_blank");
    try {
      const { address } = await post("api/report", { name });
      if (opened) { opened.opener = null; opened.location = new URL(address, location.origin).href; }
      else tell("the browser did not let a window open", "bad");
    } catch (failure) { opened?.close(); tell(failure.message, "bad"); }
  }

  // --- one job ---

  async function job(name) {
    const asked = { job: name, first: 0, count: PAGE, order: "created" };
    const stage = select("stage", [["", "all"]], "", (one) => again({ stage: one }));
    const module = select("with a call of", [["", "any module"]], "", (one) => again({ module: one }));
    const kind = select("show", [["", "all rows"], ["loss", "losses"], ["failed", "failed"], ["right", "full score"]], "", (one) => again({
      failed: one === "failed" ? "1" : "", max: one === "loss" ? "0.999999" : "", min: one === "right" ? "1" : "",
    }));
    const order = select("order", [["created", "as run"], ["score", "lowest score first"], ["-score", "highest score first"], ["-created", "latest first"]], "created", (one) => again({ order: one }));
    const row = input("row", "", { placeholder: "id of a row", size: 14, on: { change: () => again({ row: row.box.value.trim() }) } });
    const list = h("div");
    fill(element, back(), h("section", { class: "panel" }, h("h2", {}, name), h("div", { class: "bar" }, stage, module, kind, order, row), list));

    async function again(change) {
      Object.assign(asked, { first: 0 }, change);
      try {
        const found = await get("api/rows", asked);
        setOptions(stage.list, [["", "all"], ...found.stages.map((one) => [one, one])], asked.stage ?? "");
        setOptions(module.list, [["", "any module"], ...found.modules.map((one) => [one, one])], asked.module ?? "");
        fill(list, found.runs.length ? table([
          ["row", (one) => brief(one.row, 16) + (one.sample ? ` #${one.sample}` : "")],
          ...fieldColumns(found.runs, (one) => one.values),
          ["answer", (one) => (one.error ? h("span", { class: "bad" }, brief(one.error, 60)) : brief(one.pred, 60)), "value"],
          ["score", (one) => score(one.score), "number"],
          ["calls", (one) => number(one.calls), "number"],
        ], found.runs, (one) => run(one.id)) : empty("No row fits.", "Choose other filters."), pager(found.first, PAGE, found.total, (first) => again({ first })));
      } catch (failure) { fill(list, problem(failure)); }
    }
    await again({});
  }

  async function run(id) {
    const found = await get("api/run", { id });
    const graph = await graphOf(found);
    return h("div", { class: "run" },
      h("div", { class: "two" }, h("div", {}, h("h4", {}, "the row"), value(found.values)), h("div", {}, h("h4", {}, "the answer"), found.error ? h("p", { class: "bad" }, found.error) : value(found.pred), found.feedback ? h("p", {}, found.feedback) : null)),
      graph,
      h("h4", {}, plural(found.calls.length, "call")), found.calls.map((call, n) => callCard(call, n, found.calls.length)));
  }

  // The graph with what passed there, if the folder has the program. It is drawn as it is now.
  async function graphOf(found) {
    const file = work.of("program").find((name) => name === found.program || name.endsWith(`/${found.program}`));
    if (!file) return null;
    try {
      const { text } = await post("api/open", { file });
      const view = new GraphView((shown) => post("api/graph", { file, text, target: found.target, shown }));
      Object.assign(view, { calls: found.calls, inputs: found.values, run: { regions: found.regions, ...(found.error ? {} : { result: found.pred }) } });
      await view.draw();
      return h("details", { open: true }, h("summary", {}, `the graph of ${file} as it is now, with this run`), view.element);
    } catch { return null; } // a program that was changed so that it has mistakes, or another target
  }

  return { element, shown };
}

export { message };
