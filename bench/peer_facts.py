"""What `docs/compare.md` says of DSPy's calls, found out: run it in DSPy's own environment.

    /tmp/dspy/bin/python bench/peer_facts.py

A server on this machine answers and counts. DSPy's cache is a new folder.
"""

import json
import os
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = tempfile.mkdtemp()
os.environ["DSPY_CACHEDIR"] = FOLDER

import dspy  # noqa: E402

LATENCY_S = 0.3


class Server(ThreadingHTTPServer):
    """Answers every question with its own name, and notes when each request came."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.came = name, list[float]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def model(self) -> dspy.LM:
        return dspy.LM("openai/m", api_base=f"http://127.0.0.1:{self.server_port}/v1", api_key="x")


class Handler(BaseHTTPRequestHandler):
    """One chat completion with as many choices as were asked for."""

    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.came.append(time.monotonic())
        time.sleep(LATENCY_S)
        text = f"[[ ## answer ## ]]\n{self.server.name}\n\n[[ ## completed ## ]]"
        message = {"role": "assistant", "content": text}
        choice = {"finish_reason": "stop", "message": message}
        choices = [{"index": i, **choice} for i in range(asked.get("n") or 1)]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = json.dumps(
            {"id": "x", "object": "chat.completion", "created": 0, "model": "m",
             "choices": choices, "usage": usage}
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Misspelt(dspy.Module):
    """A program that asks for a field which its signature does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> str:
        return self.ask(question=question).anwser


def requests_of(server: Server, act) -> int:
    before = len(server.came)
    with dspy.context(lm=server.model()):
        act()
    return len(server.came) - before


def same_name_elsewhere(ask: dspy.Predict) -> str:
    first, second = Server("first"), Server("second")
    answers = []
    for server in (first, second):
        with dspy.context(lm=server.model()):
            answers.append(ask(question="which?").answer)
    return f"the second server's answer is {answers[1]!r}, after {len(second.came)} requests to it"


def four_samples(ask: dspy.Predict) -> str:
    server = Server("s")
    settings = {"n": 4, "temperature": 1.0}
    requests_of(server, lambda: ask(question="four", config=settings))
    gaps = [round(b - a, 1) for a, b in zip(server.came, server.came[1:])]
    return f"{len(server.came)} requests, {gaps} seconds apart (one takes {LATENCY_S})"


def eight_equal(ask: dspy.Predict) -> str:
    server = Server("s")

    def one() -> None:
        with dspy.context(lm=server.model()):
            ask(question="equal")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{len(server.came)} requests"


def misspelt_field() -> str:
    server = Server("s")
    try:
        paid = requests_of(server, lambda: Misspelt()(question="x"))
    except AttributeError as problem:
        return f"AttributeError ({problem}) after {len(server.came)} request"
    return f"no error, {paid} requests"


def loaded_elsewhere(ask: dspy.Predict) -> str:
    ask.demos = [dspy.Example(question="q", answer="a")]
    file = Path(FOLDER) / "saved.json"
    ask.save(file)
    other = dspy.Predict("text -> label: bool")
    try:
        other.load(file)
    except Exception as problem:
        return f"refused: {problem}"
    return f"loaded without a word; it has the demonstrations {other.demos}"


def main() -> None:
    ask = dspy.Predict("question -> answer")
    print("DSPy", dspy.__version__)
    print("a misspelt field:", misspelt_field())
    print("another server with the same model name:", same_name_elsewhere(ask))
    print("n=4:", four_samples(ask))
    print("eight equal calls at once:", eight_equal(ask))
    print("a saved program in another signature:", loaded_elsewhere(ask))


if __name__ == "__main__":
    main()
