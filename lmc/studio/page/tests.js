// The tests of the program: a button that runs them, and what passed and failed.

import { h, fill, button, problem, plural } from "./dom.js";
import { events } from "./api.js";
import { work } from "./work.js";

export class TestList {
  // `goTo` shows a line and a column of the program, both from 0.
  constructor(goTo) {
    this.goTo = goTo;
    this.list = h("ul", { class: "findings" });
    this.head = h("span", { class: "soft", "aria-live": "polite" });
    this.start = button("Run tests", () => this.run(), { hidden: true });
    this.stop = button("Stop", () => this.running?.abort());
    this.element = h("section", { "aria-label": "Tests", hidden: true },
      h("div", { class: "bar" }, h("h3", { class: "head" }, "Tests"), this.head, this.stop), this.list);
    this.running = null;
  }

  known(count) {
    this.start.hidden = !count;
  }

  clear() {
    this.running?.abort();
    this.element.hidden = true;
    this.start.hidden = true;
  }

  async run() {
    if (this.running) return;
    const mine = new AbortController();
    this.running = mine;
    this.start.disabled = true;
    this.stop.hidden = false;
    this.element.hidden = false;
    fill(this.list);
    fill(this.head, "running …");
    const seen = { passed: 0, failed: 0, ended: false };
    try {
      await events("api/test", { file: work.file, text: work.text }, (name, data) => this.hear(name, data, seen), mine.signal);
    } catch (failure) {
      if (failure.name === "AbortError") fill(this.head, "stopped");
      else { seen.ended = true; fill(this.head); fill(this.list, problem(failure)); }
    }
    this.running = null;
    this.start.disabled = false;
    this.stop.hidden = true;
  }

  hear(name, data, seen) {
    if (name === "test") {
      seen[data.ok ? "passed" : "failed"] += 1;
      this.list.append(this.result(data));
      fill(this.head, `${plural(seen.passed, "test")} passed, ${seen.failed} failed so far`);
    } else if (name === "failed") {
      seen.ended = true;
      fill(this.head);
      fill(this.list, problem(data));
    } else if (name === "end" && !seen.ended) {
      if (data.code === 0) fill(this.head, `${plural(seen.passed, "test")} passed, ${seen.failed} failed`);
      else fill(this.list, problem({ message: "the process ended", help: data.said.split("\n").slice(-6).join("\n") }));
    }
  }

  result(one) {
    return h("li", { class: one.ok ? "passed" : "error" },
      h("strong", { class: one.ok ? "good" : "bad" }, one.ok ? "passed" : "failed"), ` ${one.title}`,
      one.errors.map((found) => h("div", {},
        found.place ? button(`line ${found.place.line}`, () => this.goTo(found.place.line - 1, found.place.column - 1), { class: "quiet place" }) : null,
        " ", h("span", { class: "message" }, found.message), found.help ? h("span", { class: "help" }, found.help) : null)));
  }
}
