// Compile: start a compilation, watch it, stop it, go on with it.

import { h, fill, button, select, setOptions, input, empty, problem, tell, number, plural } from "./dom.js";
import { get, post, events } from "./api.js";
import { candidatesChart } from "./chart.js";
import { work } from "./work.js";

export function compileView(go) {
  const target = select("target", [], "");
  const optimizer = input("steps", "", { placeholder: "as the program says", size: 26 });
  const metric = input("metric", "", { placeholder: "as the program says", size: 16 });
  const data = select("rows", [["", "as the program says"]], "");
  const budget = input("budget", "calls=500", { size: 18, title: "calls=, tokens=, usd=, minutes=" });
  const model = input("model", work.model, { placeholder: "as the program says", size: 18 });
  const accept = select("accept", [["proven", "proven gains"], ["better", "any gain on dev rows"]], "proven");
  const out = input("artifact", "", { placeholder: "PROGRAM.lmpc", size: 20 });
  const start = button("Compile", () => begin(), { class: "primary" });
  const saved = h("p", { class: "bad", role: "status" });
  const live = h("div", { class: "live" });
  let watching = null;
  const element = h("div", { class: "compile" }, h("section", { class: "panel" },
    h("form", { on: { submit: (event) => { event.preventDefault(); begin(); } } },
      h("div", { class: "bar" }, target, optimizer, metric, data), h("div", { class: "bar" }, budget, model, accept, out),
      h("div", { class: "bar" }, start, h("span", { class: "soft" }, "This calls models within the budget."))), saved), live);

  function sync() {
    const names = work.checked?.targets.map((one) => one.name) ?? [];
    setOptions(target.list, [["", "as the program says"], ...names.map((one) => [one, one])], target.list.value);
    const sets = work.checked?.datasets ?? [];
    setOptions(data.list, [["", "as the program says"], ...sets.map((one) => [one, one]), ...work.of("rows").map((one) => [one, one])], data.list.value);
    const why = !work.file ? "Open a program first." : work.isArtifact ? "An artifact is compiled already: open its program." : work.dirty ? "The saved text is compiled: save your changes first." : !names.length ? "The program has mistakes: see Write." : "";
    fill(saved, why);
    start.disabled = Boolean(why);
  }

  async function begin() {
    if (start.disabled) return;
    const body = {
      file: work.file, target: target.list.value, optimizer: optimizer.box.value, metric: metric.box.value, data: data.list.value,
      budget: budget.box.value.trim(), model: model.box.value, accept: accept.list.value, out: out.box.value,
    };
    try {
      follow(await post("api/compile", body));
    } catch (failure) { tell(failure.message + (failure.help ? ` (${failure.help})` : ""), "bad"); }
  }

  async function latest() {
    const { started } = await get("api/compilations").catch(() => ({ started: [] }));
    if (started.length) { if (!watching) follow(started[0]); } else if (!watching) fill(live, empty("No compilation was started here yet.", "It tries demonstrations, instructions or weights on your rows, and keeps what is proven better on rows that it has not seen."));
  }

  async function follow(made) {
    watching?.abort();
    const control = watching = new AbortController();
    let found = [];
    let state = made;
    const draw = () => { if (control === watching) show(state, found); };
    draw();
    try {
      await events(`api/compile/events?name=${encodeURIComponent(made.name)}`, null, (name, data) => {
        if (name === "state") state = data;
        else if (name === "restart") found = [];
        else if (name === "event") found.push(data);
        draw();
      }, control.signal);
    } catch (failure) { if (failure.name !== "AbortError") fill(live, problem(failure)); }
    if (control === watching) {
      watching = null;
      if (state.state !== "running") { draw(); work.refresh(); }
    }
  }

  function show(state, found) {
    const last = found.at(-1)?.totals ?? {};
    const begun = found.find((one) => one.event === "started");
    const limit = begun?.budget?.calls;
    const running = state.state === "running";
    const leader = found.filter((one) => one.event === "leader").at(-1);
    fill(live, h("section", { class: "panel" },
      h("div", { class: "bar" }, h("h2", {}, state.name), h("span", { class: `state ${state.state}`, role: "status" }, state.state)),
      limit ? h("div", { class: "used" }, h("progress", { max: limit, value: Math.min(limit, last.calls ?? 0), "aria-label": "budget used" }), h("span", {}, `${number(last.calls ?? 0)} of ${plural(limit, "call")}`)) : h("p", { class: running ? "soft busy" : "soft" }, begun ? plural(last.calls ?? 0, "call") : running ? "starting …" : ""),
      h("p", { class: "facts" }, [begun ? begun.steps.join(" >> ") : null, last.tokens ? plural(last.tokens, "token") : null, last.cost_usd ? `$${last.cost_usd.toFixed(4)}` : null, last.elapsed_s ? `${Math.round(last.elapsed_s)} s` : null].filter(Boolean).join(" · ")),
      leader ? h("p", {}, "Best so far: ", h("strong", {}, leader.name), ` with ${number(leader.mean)} on ${plural(leader.rows, "row")}; the start has ${number(leader.baseline)}.`) : null,
      candidatesChart(found),
      h("ul", { class: "decisions" }, found.filter((one) => one.event === "gate" || one.event === "note").map((one) => h("li", { class: one.accepted ? "good" : one.event === "note" ? "soft" : "" }, one.words ?? one.text))),
      h("div", { class: "bar" },
        running ? button("Stop", () => stop(state.name)) : null,
        state.state === "stopped" || state.state === "failed" ? button("Go on", () => resume(state.name), { title: "No call is paid for twice." }) : null,
        state.state === "done" ? [button("See the run", () => go("runs", "compilation", state.name), { class: "primary" }), button("Compare", () => go("compare"))] : null),
      h("details", { open: state.state === "failed" }, h("summary", {}, "what the command said"), h("pre", {}, state.command, "\n\n", state.said))));
  }

  const stop = (name) => post("api/compile/stop", { name }).catch((failure) => tell(failure.message, "bad"));
  const resume = async (name) => {
    try { follow(await post("api/compile", { resume: name })); } catch (failure) { tell(failure.message, "bad"); }
  };

  for (const event of ["checked", "written", "files", "opened"]) work.addEventListener(event, sync);
  sync();
  return { element, shown: () => { sync(); latest(); } };
}
