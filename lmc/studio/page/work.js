// What all views share: the files, and the program that is open with its text and findings.

import { get, post } from "./api.js";

class Work extends EventTarget {
  files = [];
  file = "";
  text = "";
  digest = "";
  saved = "";
  checked = null;
  model = "";
  version = 0;

  of(...kinds) { return this.files.filter((one) => kinds.includes(one.kind)).map((one) => one.name); }
  get dirty() { return this.file !== "" && this.text !== this.saved; }
  get isArtifact() { return this.file.endsWith(".lmpc"); }

  tell(name) { this.dispatchEvent(new Event(name)); }

  async refresh() {
    this.files = (await get("api/files")).files;
    this.tell("files");
  }

  async open(file) {
    const found = file.endsWith(".lmpc") ? { text: "", digest: "" } : await post("api/open", { file });
    Object.assign(this, { file, text: found.text, saved: found.text, digest: found.digest, checked: null });
    this.tell("opened");
    await this.check();
  }

  write(text) {
    this.text = text;
    this.tell("written");
  }

  async save() {
    const { file, text, digest } = this;
    this.digest = (await post("api/save", { file, text, digest })).digest;
    this.saved = text;
    this.tell("written");
  }

  async create(file, text) {
    const { digest } = await post("api/create", { file, text });
    Object.assign(this, { file, text, digest, saved: text, checked: null });
    await this.refresh();
    this.tell("opened");
    await this.check();
  }

  // Check the text as it is now; an answer about an older text is left out.
  async check() {
    const { file, text } = this;
    if (!file) return;
    const mine = ++this.version;
    if (this.isArtifact) {
      const found = await post("api/graph", { file });
      this.checked = { findings: [], elsewhere: [], targets: found.targets, main: found.target, datasets: [], tests: [], cost: {} };
    } else {
      const found = await post("api/check", { file, text });
      if (mine !== this.version || file !== this.file) return;
      this.checked = found;
    }
    this.tell("checked");
  }

  ask(path, more = {}, signal) {
    const { file, text } = this;
    return post(path, { file, text, ...more }, signal);
  }
}

export const work = new Work();
