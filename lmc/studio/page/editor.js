// The editor: a plain text area, with colours, marks and line numbers behind it. So selecting, undoing,
// dictating and reading aloud work as everywhere.

import { h, fill, debounce } from "./dom.js";
import { coloured } from "./lexer.js";

const INDENT = "  ";

export class Editor {
  constructor(hooks) {
    this.hooks = hooks; // written(text), moved(), complete(place), run(), save(), format(), next()
    this.findings = [];
    this.leaving = false;
    this.colours = h("pre", { class: "colours", "aria-hidden": true });
    this.marks = h("pre", { class: "marks", "aria-hidden": true });
    this.numbers = h("pre", { class: "numbers", "aria-hidden": true });
    this.area = h("textarea", {
      spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off",
      "aria-label": "Program", "aria-describedby": "editor-keys",
      on: {
        input: () => { this.draw(); hooks.written(this.text); this.suggest(); },
        scroll: () => this.follow(),
        keydown: (event) => this.press(event),
        blur: () => setTimeout(() => this.close(), 150),
        click: () => { this.close(); this.moved(); },
        keyup: (event) => { if (/^(Arrow|Home|End|Page)/.test(event.key) && !this.list) this.moved(); },
      },
    });
    this.popup = h("ul", { class: "popup", role: "listbox", id: "completions", hidden: true, "aria-label": "Completions" });
    this.element = h("div", { class: "editor" }, this.numbers,
      h("div", { class: "sheet" }, this.colours, this.marks, this.area, this.popup));
    this.moved = debounce(() => hooks.moved(), 250);
    this.suggest = debounce(() => this.offer(false), 120);
  }

  get text() { return this.area.value; }

  set text(text) {
    this.area.value = text;
    this.area.setSelectionRange(0, 0);
    this.area.scrollTop = this.area.scrollLeft = 0;
    this.findings = [];
    this.draw();
  }

  get place() { return this.placeAt(this.area.selectionStart); }

  placeAt(offset) {
    const before = this.text.slice(0, offset);
    const line = before.split("\n").length - 1;
    return { line, character: offset - (before.lastIndexOf("\n") + 1) };
  }

  offset([line, character]) {
    let at = 0;
    for (let n = 0; n < line; n += 1) {
      const next = this.text.indexOf("\n", at);
      if (next < 0) return this.text.length;
      at = next + 1;
    }
    const end = this.text.indexOf("\n", at);
    return Math.min(at + character, end < 0 ? this.text.length : end);
  }

  draw() {
    fill(this.colours, coloured(this.text));
    this.drawMarks();
    this.follow();
  }

  show(findings) {
    this.findings = findings;
    this.drawMarks();
  }

  drawMarks() {
    const found = document.createDocumentFragment();
    const worst = new Map();
    let at = 0;
    for (const one of [...this.findings].sort((a, b) => this.offset(a.start) - this.offset(b.start))) {
      const line = one.start[0];
      if (worst.get(line) !== "error") worst.set(line, one.severity);
      const start = this.offset(one.start);
      const end = Math.max(this.offset(one.end), start + 1);
      if (start < at) continue;
      found.append(this.text.slice(at, start), h("span", { class: one.severity }, this.text.slice(start, end) || " "));
      at = end;
    }
    found.append(this.text.slice(at), "\n");
    fill(this.marks, found);
    const count = this.text.split("\n").length;
    fill(this.numbers, Array.from({ length: count }, (_, n) => h("span", { class: worst.get(n) ?? "" }, `${n + 1}\n`)));
    this.follow();
  }

  follow() {
    const { scrollLeft, scrollTop } = this.area;
    for (const layer of [this.colours, this.marks]) Object.assign(layer, { scrollLeft, scrollTop });
    this.numbers.scrollTop = scrollTop;
  }

  goTo(place, end = place) {
    const start = this.offset(place);
    this.area.focus();
    this.area.setSelectionRange(start, this.offset(end));
    const height = parseFloat(getComputedStyle(this.area).lineHeight);
    const top = place[0] * height;
    const { scrollTop, clientHeight } = this.area;
    if (top < scrollTop || top > scrollTop + clientHeight - 2 * height) this.area.scrollTop = top - clientHeight / 3;
    this.follow();
  }

  // Replace a part so that it can be undone. `execCommand` is old, and the only way that keeps undo.
  replace(start, end, text) {
    this.area.focus();
    this.area.setSelectionRange(start, end);
    const done = text === "" ? document.execCommand("delete") : document.execCommand("insertText", false, text);
    if (!done) {
      this.area.setRangeText(text, start, end, "end");
      this.area.dispatchEvent(new Event("input"));
    }
  }

  apply(edits) {
    const caret = this.area.selectionStart;
    const parts = edits.map((one) => ({ start: this.offset(one.start), end: this.offset(one.end), text: one.text }));
    parts.sort((a, b) => b.start - a.start);
    for (const { start, end, text } of parts) if (start !== end || text !== "") this.replace(start, end, text);
    this.area.setSelectionRange(Math.min(caret, this.text.length), Math.min(caret, this.text.length));
  }

  press(event) {
    const control = event.ctrlKey || event.metaKey;
    if (this.list && this.choose(event)) return;
    if (control && event.key === " ") this.stop(event, () => this.offer(true));
    else if (control && event.key === "s") this.stop(event, () => this.hooks.save());
    else if (control && event.key === "Enter") this.stop(event, () => this.hooks.run());
    else if (event.altKey && event.shiftKey && event.code === "KeyF") this.stop(event, () => this.hooks.format());
    else if (event.key === "F8") this.stop(event, () => this.hooks.next());
    else if (event.key === "Tab" && !control && !event.altKey && !this.leaving) this.stop(event, () => this.indent(event.shiftKey));
    else if (event.key === "Enter" && !control) this.stop(event, () => this.newLine());
    this.leaving = event.key === "Escape" || (this.leaving && event.key === "Shift");
  }

  stop(event, act) {
    event.preventDefault();
    act();
  }

  indent(less) {
    const { selectionStart: start, selectionEnd: end } = this.area;
    if (start === end && !less) return this.replace(start, end, INDENT);
    const from = this.text.lastIndexOf("\n", start - 1) + 1;
    const lines = this.text.slice(from, end).split("\n");
    const made = lines.map((line) => (less ? line.replace(/^ {1,2}/, "") : INDENT + line)).join("\n");
    this.replace(from, end, made);
    this.area.setSelectionRange(from, from + made.length);
    return undefined;
  }

  newLine() {
    const { selectionStart: start, selectionEnd: end } = this.area;
    const line = this.text.slice(this.text.lastIndexOf("\n", start - 1) + 1, start);
    const opens = /[{[(]\s*$/.test(line) ? INDENT : "";
    this.replace(start, end, `\n${/^ */.exec(line)[0]}${opens}`);
  }

  // --- completion ---

  async offer(wanted) {
    const caret = this.area.selectionStart;
    const before = this.text.slice(0, caret);
    if (!wanted && !/[A-Za-z_]\w*$|\.$/.test(before)) return this.close();
    const found = await this.hooks.complete(this.place);
    if (caret !== this.area.selectionStart || document.activeElement !== this.area) return undefined;
    const typed = /\w*$/.exec(before)[0].toLowerCase();
    const fitting = found.filter((one) => one.label.toLowerCase().startsWith(typed) && (wanted || one.label.toLowerCase() !== typed));
    if (!fitting.length) return this.close();
    this.list = fitting.slice(0, 12);
    this.at = 0;
    this.showList();
    return undefined;
  }

  showList() {
    fill(this.popup, this.list.map((one, n) => h("li", {
      role: "option", id: `completion-${n}`, "aria-selected": n === this.at ? "true" : "false",
      on: { mousedown: (event) => { event.preventDefault(); this.take(n); } },
    }, h("span", {}, one.label), h("span", { class: "soft" }, one.detail))));
    const style = getComputedStyle(this.area);
    const { line, character } = this.place;
    const height = parseFloat(style.lineHeight);
    const typed = /\w*$/.exec(this.text.slice(0, this.area.selectionStart))[0].length;
    const left = parseFloat(style.paddingLeft) + (character - typed) * this.charWidth() - this.area.scrollLeft;
    const top = parseFloat(style.paddingTop) + (line + 1) * height - this.area.scrollTop;
    this.popup.hidden = false;
    const room = this.area.clientHeight;
    const below = top + this.popup.offsetHeight < room || top < room / 2;
    this.popup.style.left = `${Math.max(4, Math.min(left, this.area.clientWidth - this.popup.offsetWidth - 4))}px`;
    this.popup.style.top = `${below ? top : top - height - this.popup.offsetHeight}px`;
    this.popup.children[this.at].scrollIntoView({ block: "nearest" });
    this.area.setAttribute("aria-controls", "completions");
    this.area.setAttribute("aria-activedescendant", `completion-${this.at}`);
  }

  charWidth() {
    if (!this.width) {
      const probe = h("span", { class: "probe" }, "x".repeat(100));
      this.colours.append(probe);
      this.width = probe.getBoundingClientRect().width / 100;
      probe.remove();
    }
    return this.width;
  }

  choose(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      this.at = (this.at + moves[event.key] + this.list.length) % this.list.length;
      this.showList();
    } else if (event.key === "Enter" || event.key === "Tab") {
      this.take(this.at);
    } else if (event.key === "Escape") {
      this.close();
    } else {
      if (!/^[\w.]$|^Backspace$|^Shift$/.test(event.key)) this.close();
      return false;
    }
    event.preventDefault();
    return true;
  }

  take(n) {
    const one = this.list[n];
    this.close();
    const caret = this.area.selectionStart;
    const typed = /\w*$/.exec(this.text.slice(0, caret))[0].length;
    const start = one.start ? this.offset(one.start) : caret - typed;
    const after = /^\w*/.exec(this.text.slice(caret))[0].length;
    this.replace(Math.min(start, caret), caret + (one.end && this.offset(one.end) > caret ? after : 0), one.text);
    this.close();
  }

  close() {
    this.list = null;
    this.popup.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }
}
