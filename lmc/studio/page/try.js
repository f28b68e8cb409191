// Try: a form from the types, the result as it grows, and the graph with the data of the run in it.

import { h, fill, button, select, setOptions, input, tell, value, empty, problem, plural, debounce } from "./dom.js";
import { events } from "./api.js";
import { form } from "./form.js";
import { GraphView, callCard } from "./graph.js";
import { work } from "./work.js";

export function tryView() {
  const target = select("run", [], "", () => choose());
  const given = select("inputs from", [], "", (id) => { const one = choices[Number(id)]; if (one) inputs.set(one.inputs); });
  const model = input("model", work.model, { placeholder: "as the program says" });
  const cache = h("input", { type: "checkbox", checked: true });
  const place = h("div");
  const result = h("div", { class: "result", "aria-live": "polite" });
  const log = h("div", { class: "calls" });
  const start = button("Run", () => run(), { class: "primary" });
  const stop = button("Stop", () => running?.abort(), { disabled: true });
  const graph = new GraphView((shown) => work.ask("api/graph", { target: target.list.value, shown }));
  let inputs = form({ properties: {} }, []);
  let choices = [];
  let running = null;

  const element = h("div", { class: "try" },
    h("section", { class: "panel", "aria-label": "Inputs and result" },
      h("div", { class: "bar" }, target, given),
      h("form", { on: { submit: (event) => { event.preventDefault(); run(); }, keydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } } } },
        place,
        h("div", { class: "bar" }, model, h("label", { class: "inline" }, cache, " use the cache")),
        h("div", { class: "bar" }, start, stop, h("span", { class: "keys" }, h("kbd", {}, "Ctrl"), h("kbd", {}, "Enter")))),
      result, log),
    h("section", { class: "panel", "aria-label": "Graph" }, graph.element));

  function checked() {
    const found = work.checked;
    if (!found) return;
    const names = found.targets.map((one) => one.name);
    start.disabled = !names.length || Boolean(running);
    if (!names.length) {
      fill(place, empty("It cannot run yet.", found.findings.some((one) => one.severity === "error") ? "Mend what is wrong with the program first: see Write." : "The program has no module or pipeline."));
      fill(graph.picture);
      return;
    }
    const kept = names.includes(target.list.value) ? target.list.value : found.main ?? names.at(-1);
    const before = form_();
    setOptions(target.list, names.map((name) => [name, name]), kept);
    if (before !== form_() || shape !== JSON.stringify(current().inputs)) choose();
    else graphSoon();
  }

  let shape = "";
  const form_ = () => `${work.file} ${target.list.value}`;
  const current = () => work.checked.targets.find((one) => one.name === target.list.value);
  const graphSoon = debounce(() => graph.draw().catch(() => {}), 300);

  async function choose() {
    const one = current();
    shape = JSON.stringify(one.inputs);
    inputs = form(one.inputs, one.order, one.types);
    const cost = work.checked.cost[one.name];
    fill(place, one.doc ? h("p", { class: "doc" }, one.doc) : null, inputs.element,
      h("p", { class: "soft" }, "gives ", h("code", {}, one.result), cost !== undefined ? `, at most ${plural(cost, "model call")}` : ""));
    fill(result);
    fill(log);
    graph.inputs = null;
    graph.load().catch((failure) => fill(graph.picture, problem(failure)));
    choices = [];
    if (!work.isArtifact) {
      const found = await work.ask("api/preview", { target: one.name }).catch(() => ({ choices: [] }));
      choices = found.choices;
    }
    given.hidden = !choices.length;
    setOptions(given.list, [["", "typed by hand"], ...choices.map((c, n) => [String(n), c.origin])], "");
  }

  async function run() {
    if (running || !work.checked?.targets.length) return;
    let values;
    try {
      values = inputs.get();
    } catch (failure) {
      fill(result, problem({ message: failure.message }));
      return;
    }
    running = new AbortController();
    start.disabled = true;
    stop.disabled = false;
    fill(log);
    fill(result, h("p", { class: "soft busy" }, "running …"));
    Object.assign(graph, { calls: [], run: null, inputs: values, running: true });
    graphSoon();
    const body = { file: work.file, text: work.text, target: target.list.value, inputs: values, model: model.box.value || null, cache: cache.checked };
    const seen = { failed: null, result: undefined, told: false };
    try {
      await events("api/try", body, (name, data) => hear(name, data, seen), running.signal);
    } catch (failure) {
      fill(result, failure.name === "AbortError" ? h("p", { class: "soft" }, "stopped") : problem(failure));
    }
    running = null;
    graph.running = false;
    start.disabled = false;
    stop.disabled = true;
    graphSoon();
  }

  function hear(name, data, seen) {
    if (name === "call") {
      graph.calls.push(data);
      log.append(callCard(data, graph.calls.length - 1, 0));
      graphSoon();
    } else if (name === "partial") {
      fill(result, h("h3", {}, "Result so far"), value(data));
    } else if (name === "result") {
      Object.assign(seen, { result: data, told: true });
      fill(result, h("h3", {}, "Result"), value(data));
    } else if (name === "failed") {
      fill(result, problem(data));
      seen.failed = data;
    } else if (name === "ended") {
      graph.run = seen.told ? { ...data, result: seen.result } : data;
      result.append(h("p", { class: "facts" }, [plural(data.calls, "call"), data.cached_calls ? `${data.cached_calls} from the cache` : null,
        plural(data.tokens, "token"), data.cost_usd ? `$${data.cost_usd.toFixed(5)}` : null, `${data.seconds.toFixed(2)} s`].filter(Boolean).join(" · ")));
    } else if (name === "end") {
      if (data.code !== 0 && !seen.failed && !seen.told) fill(result, problem({ message: "the process ended", help: data.said.split("\n").slice(-6).join("\n") }));
      else if (data.said.trim()) result.append(h("details", {}, h("summary", {}, "what the program printed"), h("pre", {}, data.said)));
    }
  }

  work.addEventListener("checked", checked);
  if (work.checked) checked();
  return { element, shown: (wanted) => { if (wanted === true) run(); else if (work.checked) checked(); }, focus: () => place.querySelector("textarea, input, select")?.focus() };
}
