"""The main path on any system, with lmc as it is installed: no bash, no make, no model.

    python tests/anywhere.py

CI runs it on Windows, and `make dist` with the wheel. Needs the extra `serve`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = '''\
enum Desk { login, returns }

record Row { message: str, desk: Desk }

generate main(message: str) -> Desk { """Which desk? «Grüße» →""" }

dataset mail: Row { source: "mail.jsonl" }

metric right(gold: Row, pred: Desk) -> bool { return pred == gold.desk }

test "a stub answers" {
  stub main -> Desk.login
  assert main("x") == Desk.login
}
'''
ROWS = [{"message": "Je ne peux pas entrer, ça bloque.", "desk": "login"}] * 3
ANSWERS = {"rules": [{"match": "", "answer": "login"}]}
MODEL = ("--model", "scripted/answers.json")
LMC = (sys.executable, "-m", "lmc")


def lmc(folder: Path, *arguments: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [*LMC, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    print("lmc", *arguments)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def serve(folder: Path) -> None:
    """Start a server, ask it, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*LMC, "serve", "main.lmp", *MODEL, "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder)
    try:
        answer = ask(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        server.wait(30)
    assert answer["result"] == "login", answer
    print("lmc serve")


def ask(url: str, server: "subprocess.Popen[bytes]") -> dict[str, object]:
    until = time.monotonic() + 60
    while True:
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            urllib.request.urlopen(f"{url}/health/ready", timeout=5)
            break
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until, "the server is not ready after a minute"
            time.sleep(0.2)
    body, header = json.dumps({"message": "x"}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/run/main", body, header)
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer: dict[str, object] = json.load(reply)
    return answer


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place) / "ein Ordner"
        folder.mkdir()
        os.environ["LMC_CACHE_DIR"] = str(folder / "cache")
        (folder / "main.lmp").write_text(PROGRAM, "utf-8")
        (folder / "answers.json").write_text(json.dumps(ANSWERS), "utf-8")
        rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
        (folder / "mail.jsonl").write_text(rows, "utf-8")

        assert "lmc" in lmc(folder, "--version")
        assert "no errors" in lmc(folder, "check", "--cost", "main.lmp")
        lmc(folder, "fmt", "main.lmp")
        assert "«Grüße» →" in lmc(folder, "run", "main.lmp", *MODEL, "--message", "x", "--prompt")
        assert "1 test passed" in lmc(folder, "test", "main.lmp")
        assert "login" in lmc(folder, "run", "main.lmp", *MODEL, "--message", "é")
        assert "1.000" in lmc(
            folder, "eval", "main.lmp", *MODEL, "--data", "mail", "--metric", "right"
        )
        lmc(folder, "graph", "main.lmp")
        lmc(folder, "new", "desks")
        calculate = "from lmc.programs.tools import calculate; assert calculate('6 * 7') == '42'"
        subprocess.run([sys.executable, "-c", calculate], check=True, cwd=folder)
        serve(folder)


if __name__ == "__main__":
    main()
