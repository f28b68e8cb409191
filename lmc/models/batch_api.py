"""What a user wants of batch APIs, and what their files say.

A batch API takes many requests in one file, answers within a day, and costs half at most providers.

Source: https://platform.openai.com/docs/guides/batch.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from typing import Literal

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.models import quick_json
from lmc.models.base import ModelFailure

MOST_REQUESTS = 50_000  # of a batch, as OpenAI and Groq say
MOST_BYTES = 190 << 20  # of a file of requests; they say 200 MB
CHATS = "/v1/chat/completions"
WAITING = ("validating", "in_progress", "finalizing", "cancelling")
ENDED = ("completed", "failed", "expired", "cancelled")
_EXPIRED = ("batch_expired", "batch_cancelled")
_RETRIED = (408, 409, 425, 429)

Reply = tuple[int, bytes]  # a status of HTTP, and the body of a chat completion
Outcome = Reply | ModelFailure


@frozen
class BatchApi:
    """How requests go to the batch API of their server.

    A batch is sent `quiet_s` after the last request came, or once it has `most`. It is waited for
    `wait_s`; after that the run fails, and the next run asks for the same batch. `late` says what
    is done with requests that a batch left unanswered, or answered with a failure that may pass:
    "fail", or "ask" for them the ordinary way, at the ordinary price. With "ask", a batch that
    takes longer than `wait_s` is cancelled first. `price` is the share of the usual price; None is
    that of the provider, where it is known, else 1. `poll_s` is the first pause before the state is
    asked for again; the pauses grow to five minutes. `command` is that of vLLM's offline form, such
    as "vllm run-batch": it runs the models `vllm/…` that have no server.

    Raises: LmcError[bad-batch-api].
    """

    wait_s: float = 25 * 3600.0
    quiet_s: float = 2.0
    most: int = MOST_REQUESTS
    late: Literal["fail", "ask"] = "fail"
    price: float | None = None
    poll_s: float = 5.0
    command: str = ""

    def __post_init__(self) -> None:
        wrong = {
            "`wait_s` must be more than 0": not self.wait_s > 0,
            "`quiet_s` must not be negative": not self.quiet_s >= 0,
            f"`most` must be from 1 to {MOST_REQUESTS:,}": not 1 <= self.most <= MOST_REQUESTS,
            "`late` must be `fail` or `ask`": self.late not in ("fail", "ask"),
            "`price` must be from 0 to 1": self.price is not None and not 0 <= self.price <= 1,
            "`poll_s` must be more than 0": not self.poll_s > 0,
            "`command` must be a command, with its quotes closed": not _is_command(self.command),
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise LmcError.of("bad-batch-api", message)

    def share(self, usual: float) -> float:
        """The share of the usual price, where a provider takes a `usual` one."""
        return usual if self.price is None else self.price

    @classmethod
    def of(cls, wanted: bool | BatchApi) -> BatchApi | None:
        """The options that True and False stand for."""
        return wanted if isinstance(wanted, BatchApi) else cls() if wanted else None


@frozen
class BatchState:
    """What a server says about a batch: its status, and the files of answers and of errors."""

    status: str
    files: tuple[str, ...] = ()
    problem: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.status in ENDED


def request_key(body: bytes, index: int) -> str:
    """Identifies the request for some samples across runs."""
    return hashlib.sha256(b"%d\0" % index + body).hexdigest()[:32]


def request_line(number: int, body: bytes) -> bytes:
    """One line of the file of requests; the number in the file is its id."""
    head = b'{"custom_id":"%d","method":"POST","url":"%s","body":' % (number, CHATS.encode())
    return head + body + b"}\n"


class BatchAnswers:
    """What became of the requests of a batch, by their numbers, as the lines of its files say.

    `read` reads a line. One that no request has, or that is broken, is passed over.
    """

    def __init__(self, requests: int, read: Callable[[bytes], tuple[int, Outcome]]) -> None:
        self.found: dict[int, Outcome] = {}
        self._requests, self._read = requests, read

    def take(self, line: bytes) -> None:
        """Read one line."""
        try:
            number, outcome = self._read(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if 0 <= number < self._requests:
            self.found.setdefault(number, outcome)


def read_line(line: bytes) -> tuple[int, Outcome]:
    """The number and the outcome in a line of OpenAI's form.

    vLLM writes an error beside a response without a body. Raises: KeyError, TypeError, ValueError.
    """
    told = quick_json.decode(line)
    number, error = int(told["custom_id"]), told.get("error")
    if (response := told.get("response")) is not None:
        body = response.get("body")
        return number, (int(response["status_code"]), quick_json.encode(body or error))
    code, message = str(error.get("code")), str(error.get("message"))
    if code in _EXPIRED:
        return number, unanswered(code.removeprefix("batch_"))
    failure = ModelFailure("server", f"the batch failed on a request: {message}", retryable=True)
    return number, failure


def unanswered(status: str) -> ModelFailure:
    """The failure of a request that a batch has no answer to. Nothing was paid for it."""
    message = f"the batch was {status} before this request was answered"
    if status == "expired":
        message = "the batch expired before this request was answered"
    hint = "start again: only what has no answer is sent; or allow `late` to ask the ordinary way"
    return ModelFailure("timeout", message, retryable=False, hint=hint, sent=False)


def _is_command(text: str) -> bool:
    try:
        return bool(shlex.split(text)) or not text
    except ValueError:
        return False


def may_pass(outcome: Outcome) -> bool:
    """Whether the same request may be answered if it is sent once more."""
    if isinstance(outcome, ModelFailure):
        return True
    return outcome[0] in _RETRIED or outcome[0] >= 500
