// What the page asks its server. The token comes behind `#` in the address, and stays in this window.

const KEY = "lmc-studio-token";

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

export function giveToken(token) {
  sessionStorage.setItem(KEY, token);
}

export class Problem extends Error {
  constructor(found, status) {
    super(found.detail ?? "the studio does not answer");
    this.status = status;
    this.slug = found.slug;
    this.help = found.help;
    this.errors = found.errors ?? [{ message: this.message, help: found.help, place: found.place }];
  }
}

async function ask(path, options = {}) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}`, ...options.headers };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Problem({ detail: "the studio does not answer", help: "is `lmc studio` still running?" }, 0);
  }
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})), answer.status);
  return answer;
}

export async function get(path, asked = {}) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  return (await ask(`${path}?${query}`)).json();
}

export async function post(path, body, signal) {
  return (await ask(path, sent(body, signal))).json();
}

function sent(body, signal) {
  return { method: "POST", body: JSON.stringify(body), signal, headers: { "content-type": "application/json" } };
}

// Events of the server while they come. `hear` gets the name and the data of each.
export async function events(path, body, hear, signal) {
  const answer = await ask(path, body === null ? { signal } : sent(body, signal));
  const [reader, decoder] = [answer.body.getReader(), new TextDecoder()];
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (kept + decoder.decode(value, { stream: true })).split("\n\n");
    kept = parts.pop();
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (name) hear(name, data ? JSON.parse(data) : null);
    }
  }
}
