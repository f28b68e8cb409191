// The page: its views, which one is open, and the file that they are about.

import { h, fill, button, setOptions, tell, problem, empty } from "./dom.js";
import { get, takeToken, giveToken } from "./api.js";
import { work } from "./work.js";
import { learn } from "./lexer.js";
import { writeView } from "./write.js";
import { tryView } from "./try.js";
import { runsView } from "./runs.js";
import { compareView } from "./compare.js";
import { rowsView } from "./rows.js";
import { compileView } from "./compile.js";

const VIEWS = [
  ["write", "Write", writeView], ["try", "Try", tryView], ["compile", "Compile", compileView],
  ["runs", "Runs", runsView], ["compare", "Compare", compareView], ["rows", "Rows", rowsView],
];
const made = new Map();
const main = document.getElementById("main");
const picker = h("select", { id: "file", "aria-label": "Program", on: { change: () => open(picker.value) } });

function go(view, ...where) {
  const given = where.filter((one) => typeof one === "string");
  const hash = `#/${[view, ...given.map(encodeURIComponent)].join("/")}`;
  const wanted = where.includes(true);
  if (location.hash === hash) show(wanted);
  else { pending = wanted; location.hash = hash; }
}
let pending = false;

function show(wanted = false) {
  const [, view = "write", ...where] = location.hash.split("/").map((part) => decodeURIComponent(part));
  const entry = VIEWS.find(([id]) => id === view) ?? VIEWS[0];
  if (!made.has(entry[0])) made.set(entry[0], entry[2](go));
  const one = made.get(entry[0]);
  fill(main, one.element);
  document.title = `${entry[1]} · lmc studio`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === entry[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  one.shown?.(wanted === true ? true : where.length ? where : undefined);
}

async function open(file) {
  if (work.dirty && !window.confirm(`${work.file} has changes that are not saved. Leave them?`)) {
    picker.value = work.file;
    return;
  }
  try {
    await work.open(file);
  } catch (failure) {
    tell(failure.message, "bad");
    picker.value = work.file;
  }
}

function files() {
  setOptions(picker, [...work.of("program"), ...work.of("artifact")], work.file);
  picker.disabled = !picker.options.length;
}

function locked(words) {
  const box = h("input", { type: "password", autocomplete: "off", "aria-label": "Token" });
  fill(main, h("div", { class: "locked" }, empty("This studio is yours alone.", words),
    h("form", { class: "bar", on: { submit: (event) => { event.preventDefault(); giveToken(box.value.replace(/^.*token=/, "").trim()); begin(); } } },
      h("label", { class: "field" }, h("span", {}, "token"), box), h("button", { class: "primary" }, "Open"))));
}

async function begin() {
  if (!takeToken()) return locked("Open the address that `lmc studio` printed in your terminal, or type the token that stands in it.");
  let found;
  try {
    found = await get("api/start");
  } catch (failure) {
    if (failure.status === 401) return locked("The token is not that of the studio that runs now. Open the address that it printed.");
    return fill(main, problem(failure), button("Try again", begin));
  }
  learn(found.words);
  work.model = found.model ?? "";
  document.getElementById("folder").textContent = found.folder;
  fill(document.getElementById("nav"), picker, VIEWS.map(([id, name]) => h("a", { href: `#/${id}`, "data-view": id }, name)));
  work.addEventListener("files", files);
  work.addEventListener("opened", files);
  await work.refresh();
  const programs = [...work.of("program"), ...work.of("artifact")];
  const first = programs.includes(found.first) ? found.first : programs[0];
  window.addEventListener("hashchange", () => { show(pending); pending = false; });
  show();
  if (first) await work.open(first).catch((failure) => tell(failure.message, "bad"));
  return undefined;
}

window.addEventListener("beforeunload", (event) => { if (work.dirty || made.get("rows")?.unsaved) event.preventDefault(); });
begin();
