// Write: the program, what is wrong with it, and its prompts as they would be sent.

import { h, fill, button, select, setOptions, tell, debounce, empty, problem, plural } from "./dom.js";
import { Editor } from "./editor.js";
import { message } from "./graph.js";
import { TestList } from "./tests.js";
import { get } from "./api.js";
import { work } from "./work.js";

const START = 'generate answer(question: str) -> str {\n  """Answer the question."""\n}\n';

export function writeView(go) {
  const checkSoon = debounce(() => work.check().catch(failed), 150);
  const editor = new Editor({
    written: (text) => { work.write(text); checkSoon(); },
    moved: () => hover(),
    complete: (place) => work.ask("api/complete", place).catch(() => []),
    run: () => go("try", true),
    save: () => save(),
    format: () => format(),
    next: () => next(),
  });
  const state = h("span", { class: "soft", "aria-live": "polite" });
  const about = h("div", { class: "about" });
  const list = h("ul", { class: "findings" });
  const target = select("prompts of", [], "", () => { chosen = 0; preview(); });
  const given = select("with", [], "", (id) => { chosen = Number(id); preview(); });
  const prompts = h("div", { class: "prompts" });
  const tests = new TestList((line, column) => editor.goTo([line, column], [line, column]));
  let chosen = 0;
  let choices = [];

  const keys = h("p", { id: "editor-keys", class: "keys" }, keysOf([
    ["Ctrl S", "save"], ["Ctrl Space", "complete"], ["Ctrl Enter", "try it"], ["F8", "next finding"], ["Shift Alt F", "format"], ["Esc Tab", "leave the editor"],
  ]));
  const element = h("div", { class: "write" },
    h("section", { class: "panel", "aria-label": "Program" },
      h("div", { class: "bar" },
        button("Save", save, { class: "primary" }), button("Format", format), button("New…", create), button("Save as…", saveAs), tests.start, state),
      editor.element, keys, tests.element, h("h3", { class: "head", id: "findings" }, "Findings"), list, about),
    h("section", { class: "panel", "aria-label": "Prompts" },
      h("div", { class: "bar" }, target, given), prompts));

  function failed(failure) {
    if (failure.name !== "AbortError") tell(failure.message + (failure.help ? ` (${failure.help})` : ""), "bad");
  }

  function opened() {
    editor.text = work.text;
    editor.area.disabled = !work.file || work.isArtifact;
    tests.clear();
    chosen = 0;
    changed();
    if (work.isArtifact) {
      fill(list);
      fill(prompts, empty("This is an artifact.", "It is compiled, so there is no text to edit. Try it, or compare it with another one."));
    }
  }

  function changed() {
    fill(state, work.isArtifact ? "an artifact" : work.dirty ? "not saved" : work.file ? "saved" : "");
  }

  function checked() {
    const found = work.checked;
    if (!found || work.isArtifact) return;
    editor.show(found.findings);
    const all = [...found.findings, ...found.elsewhere];
    fill(list, all.length ? all.map(finding) : h("li", { class: "soft" }, "nothing is wrong"));
    tests.known(found.tests.length);
    const names = found.targets.map((one) => one.name);
    if (names.length) {
      const kept = names.includes(target.list.value) ? target.list.value : found.main ?? names.at(-1);
      setOptions(target.list, names, kept);
      preview();
    } else if (!all.some((one) => one.severity === "error")) {
      fill(prompts, empty("No module yet.", "A module such as `generate` has a prompt, which is shown here while you write."));
    } else {
      prompts.classList.add("old");
      if (!prompts.childNodes.length) fill(prompts, empty("The prompts appear here.", "First mend what is wrong with the program."));
    }
  }

  function finding(one) {
    const place = one.file ? one.file : `line ${one.start[0] + 1}`;
    const mends = h("span", { class: "mends" });
    const item = h("li", { class: one.severity },
      button(`${one.severity}, ${place}`, () => (one.file ? null : editor.goTo(one.start, one.end)), { class: "quiet place" }),
      h("span", { class: "message" }, one.message), " ", button(one.code, () => explain(one.code), { class: "quiet code", title: "What does this mean?" }),
      one.help ? h("span", { class: "help" }, one.help) : null, mends);
    if (!one.file && (one.help || one.severity === "warning")) offer(one, mends);
    return item;
  }

  async function offer(one, place) {
    const [line, character] = one.start;
    const found = await work.ask("api/fixes", { line, character }).catch(() => []);
    fill(place, found.slice(0, 2).map((mend) => button(mend.title, () => editor.apply(mend.edits), { class: "mend" })));
  }

  async function explain(code) {
    const { text } = await get("api/explain", { slug: code }).catch(() => ({ text: "Nothing more is known." }));
    fill(about, h("div", { class: "explained" }, h("strong", {}, code), button("Close", () => fill(about), { class: "quiet" }), h("pre", {}, text)));
    about.scrollIntoView({ block: "nearest" });
  }

  async function hover() {
    if (!work.file || work.isArtifact) return;
    const { text } = await work.ask("api/hover", editor.place).catch(() => ({ text: "" }));
    if (!about.querySelector(".explained")) fill(about, text ? h("pre", { class: "hover" }, text.replace(/```\w*\n?/g, "").trim()) : null);
  }

  async function preview() {
    const name = target.list.value;
    if (!name || work.isArtifact) return;
    const inputs = chosen > 0 ? choices[chosen - 1]?.inputs : undefined;
    try {
      const found = await work.ask("api/preview", { target: name, inputs });
      if (name !== target.list.value) return;
      choices = found.choices;
      setOptions(given.list, [["0", choices.length ? "its own examples" : "made-up inputs"], ...choices.map((one, n) => [String(n + 1), one.origin])], String(chosen));
      prompts.classList.remove("old");
      fill(prompts, found.missing ? empty("No prompt.", found.missing) : null, found.sections.map((one) => h("article", { class: "prompt" },
        h("h3", {}, one.module, one.role === "generate" ? "" : `, ${one.role}`, h("span", { class: "soft" }, ` about ${plural(one.tokens, "token")}; ${one.origin}`)),
        one.messages.map(message))));
    } catch (failure) {
      if (failure.slug !== "has-mistakes") fill(prompts, problem(failure));
    }
  }

  async function save() {
    if (!work.file || work.isArtifact) return;
    try {
      await work.save();
      tell(`saved ${work.file}`);
    } catch (failure) { failed(failure); }
  }

  async function format() {
    if (!work.file || work.isArtifact) return;
    try {
      const edits = await work.ask("api/format");
      editor.apply(edits);
      tell(edits.length ? "formatted" : "nothing to format");
    } catch (failure) { failed(failure); }
  }

  function create() { ask("Name of the new program", "untitled.lmp", (name) => work.create(name, START)); }
  function saveAs() { ask("Save under the name", (work.file || "untitled.lmp").replace(/\.lmpc?$/, "-2.lmp"), (name) => work.create(name, editor.text)); }

  function ask(words, name, act) {
    const box = h("input", { type: "text", value: name, "aria-label": words });
    const wrong = h("p", { class: "bad", role: "alert" });
    const dialog = h("dialog", { "aria-label": words }, h("form", {
      method: "dialog",
      on: {
        submit: async (event) => {
          event.preventDefault();
          try {
            await act(box.value);
            dialog.close();
          } catch (failure) { fill(wrong, failure.message, failure.help ? `: ${failure.help}` : ""); }
        },
      },
    }, h("label", { class: "field" }, h("span", {}, words), box), wrong,
    h("div", { class: "bar" }, h("button", { class: "primary" }, "Create"), button("Cancel", () => dialog.close()))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    box.setSelectionRange(0, name.indexOf("."));
  }

  function next() {
    const found = work.checked?.findings ?? [];
    if (!found.length) return tell("nothing is wrong");
    const caret = editor.area.selectionStart;
    const one = found.find((f) => editor.offset(f.start) > caret) ?? found[0];
    editor.goTo(one.start, one.end);
    tell(`${one.severity}: ${one.message}`);
    return undefined;
  }

  work.addEventListener("opened", opened);
  work.addEventListener("checked", checked);
  work.addEventListener("written", changed);
  if (work.file) { opened(); checked(); }
  return { element, shown: () => editor.follow() };
}

function keysOf(pairs) {
  return pairs.map(([key, words]) => h("span", {}, key.split(" ").map((one) => h("kbd", {}, one)), ` ${words}`));
}
