// The graph of a program, with the values of a run in it: a box opens what happened there.

import { h, fill, value, plural } from "./dom.js";

export class GraphView {
  constructor(ask) {
    this.ask = ask; // (shown) -> {svg, boxes}
    this.calls = [];
    this.run = null;
    this.picture = h("div", { class: "graph", role: "group", "aria-label": "Graph" });
    this.detail = h("div", { class: "detail", "aria-live": "polite" });
    this.element = h("div", {}, this.picture, this.detail);
    this.chosen = null;
  }

  async load() {
    this.calls = [];
    this.run = null;
    this.chosen = null;
    await this.draw();
  }

  async draw() {
    const mine = this.turn = (this.turn ?? 0) + 1;
    let found;
    let asked = null;
    // The first answer may bring other boxes, and so other texts to write in them.
    for (let tries = 0; tries < 2 && asked !== JSON.stringify(this.summaries()); tries += 1) {
      const shown = this.summaries();
      asked = JSON.stringify(shown);
      found = await this.ask(shown);
      if (mine !== this.turn) return;
      this.boxes = found.boxes;
    }
    const parsed = new DOMParser().parseFromString(found.svg, "image/svg+xml").documentElement;
    for (const group of parsed.querySelectorAll("[data-box]")) this.prepare(group);
    fill(this.picture, document.importNode(parsed, true));
    for (const group of this.picture.querySelectorAll("[data-box]")) {
      const open = () => this.open(group.dataset.box);
      group.addEventListener("click", open);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
    }
    this.open(this.chosen, false);
  }

  prepare(group) {
    const id = group.dataset.box;
    const box = this.boxes[id];
    const calls = this.at(id);
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", `${box.kind} ${box.label}${calls.length ? `, ${plural(calls.length, "call")}` : ""}`);
    if (calls.some((call) => call.error)) group.classList.add("failed");
    else if (calls.length || (this.run && ["input", "output"].includes(box.kind))) group.classList.add("done");
    if (this.running && !calls.length && box.name) group.classList.add("waiting");
  }

  // The calls that belong to a box: those of its module whose place fits, if any place does.
  at(id) {
    const box = this.boxes[id];
    if (box.kind === "tool") return (this.run?.regions ?? []).filter((one) => one.kind === "tool" && one.name === box.name);
    if (box.kind === "decide") return (this.run?.regions ?? []).filter((one) => one.kind === "vote" && fits(one.place, box.place));
    if (!box.name || box.kind === "input") return [];
    const own = this.calls.filter((call) => call.module === box.name && (call.role === box.kind || box.kind === "generate"));
    const fitting = own.filter((call) => fits(call.place, box.place));
    return fitting.length ? fitting : alone(this.boxes, box) ? own : [];
  }

  summaries() {
    return Object.fromEntries(Object.keys(this.boxes ?? {}).map((id) => [id, this.summary(id)]).filter(([, text]) => text));
  }

  summary(id) {
    const box = this.boxes[id];
    if (box.kind === "input" && this.inputs && box.name in this.inputs) return short(this.inputs[box.name]);
    if (box.kind === "output" && this.run && "result" in this.run) return short(this.run.result);
    const calls = this.at(id);
    if (!calls.length) return "";
    const last = calls[calls.length - 1];
    const more = calls.length > 1 ? ` (${calls.length} calls)` : "";
    return last.error ? "failed" : short(last.result, 34) + more;
  }

  open(id, focus = true) {
    this.chosen = id;
    for (const group of this.picture.querySelectorAll("[data-box]")) group.classList.toggle("chosen", group.dataset.box === id);
    const box = id && this.boxes[id];
    if (!box) return fill(this.detail, this.run || this.calls.length ? h("p", { class: "soft" }, "Choose a box to see what passed there.") : null);
    const head = h("h3", {}, box.label);
    if (box.kind === "input") return fill(this.detail, head, this.inputs && box.name in this.inputs ? value(this.inputs[box.name]) : h("p", { class: "soft" }, "an input"));
    if (box.kind === "output") return fill(this.detail, head, this.run && "result" in this.run ? value(this.run.result) : h("p", { class: "soft" }, "the result"));
    const calls = this.at(id);
    fill(this.detail, head, calls.length ? calls.map((call, n) => callCard(call, n, calls.length)) : h("p", { class: "soft" }, this.run ? "Nothing passed here in this run." : "Run it to see what passes here."));
    if (focus) this.detail.scrollIntoView({ block: "nearest" });
    return undefined;
  }
}

function alone(boxes, box) {
  return Object.values(boxes).filter((one) => one.name === box.name && one.kind === box.kind).length === 1;
}

function fits(place, pattern) {
  return place.length === pattern.length && pattern.every((want, n) => want === null || want === place[n]);
}

function short(found, most = 44) {
  const text = (typeof found === "string" ? found : JSON.stringify(found)).replace(/\s+/g, " ");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

export function callCard(call, n, of) {
  const facts = call.module === undefined ? [call.kind] : [
    call.model, call.role === "generate" ? null : call.role, `${Math.round(call.latency_ms)} ms`, plural(call.tokens, "token"),
    call.cached ? "from the cache" : null, call.attempts > 1 ? `${call.attempts} attempts` : null, call.cost_usd ? `$${call.cost_usd.toFixed(5)}` : null,
  ];
  return h("details", { class: `call${call.error ? " failed" : ""}`, open: of === 1 },
    h("summary", {}, h("strong", {}, call.module ?? call.name), of > 1 ? ` ${n + 1} of ${of}` : "", " ", h("span", { class: "short" }, call.error ? "failed" : short(call.result, 60))),
    h("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    call.error ? h("p", { class: "bad" }, call.error) : null,
    h("h4", {}, "in"), value(call.inputs),
    h("h4", {}, "out"), value(call.outputs ?? call.result),
    call.messages?.length ? h("details", {}, h("summary", {}, "the prompt as it was sent"), call.messages.map(message)) : null,
    call.raw?.length ? h("details", {}, h("summary", {}, call.raw.length > 1 ? `what the model wrote, ${call.raw.length} times` : "what the model wrote"), call.raw.map((text) => h("pre", {}, text))) : null,
  );
}

export function message(one) {
  return h("div", { class: "message" }, h("div", { class: "role" }, one.role), h("pre", {}, one.content));
}
