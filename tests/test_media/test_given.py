"""Media as people and rows give it: what is taken, and what a stranger may not name."""

import base64
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.media import KINDS, Media, MediaProblem, media_store
from lmc.media.given import VALUES_ONLY, Access, taken
from lmc.types import MESSAGES, SOFT_TYPES
from lmc.values import InvalidValue, to_json, to_python, validate

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPEG = b"\xff\xd8\xff\xe0" + b"pixels"
CONTENTS = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": b"GIF89a...",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "audio/wav": b"RIFF\x10\0\0\0WAVEfmt ",
    "audio/flac": b"fLaC....",
    "audio/ogg": b"OggS....",
    "audio/mpeg": b"ID3\x04....",
    "application/pdf": b"%PDF-1.7\n",
}
IMAGE = SOFT_TYPES["image"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("mime", CONTENTS)
def test_the_contents_say_what_it_is(mime: str) -> None:
    media = taken(CONTENTS[mime], "media")
    assert media.mime == mime
    assert media.kind in KINDS
    assert media.data == CONTENTS[mime]
    for kind in set(KINDS) - {media.kind}:
        with pytest.raises(MediaProblem, match="must be"):
            taken(media, kind)


def test_an_mp3_may_begin_with_a_frame() -> None:
    assert taken(b"\xff\xfb\x90\x64....", "audio").mime == "audio/mpeg"


def test_a_jpeg_named_png_is_a_jpeg(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(JPEG)
    assert taken(tmp_path / "cat.png", "image").mime == "image/jpeg"


class Picture:
    """Like an image of PIL."""

    mode = "RGB"

    def save(self, file, format):
        assert format == "PNG"
        file.write(PNG)


@pytest.mark.parametrize("given", [PNG, bytearray(PNG), memoryview(PNG), Picture()])
def test_the_ways_to_give_an_image(given: object) -> None:
    assert taken(given, "image").data == PNG


@pytest.mark.parametrize(
    "url",
    [
        *(data_url(m, PNG) for m in ("image/png", "image/jpeg", "", "application/octet-stream")),
        data_url("image/png;x=y", PNG),
    ],
)
def test_a_data_url_of_the_same_kind(url: str) -> None:
    assert taken(url, "image").mime == "image/png"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "0 bytes"),
        ("data:image/png;base64,", "0 bytes"),
        (b"hello", "none of the formats"),
        ("data:image/png;base64,$$$", "base64 is damaged"),
        (data_url("application/pdf", PNG), "claims `application/pdf`"),
        (data_url("audio/wav", PNG), "claims `audio/wav`"),
        (data_url("text/html", PNG), "no media"),
        ("data:nonsense", "cannot be read"),
        ("cat.png", "pathlib"),
        ("/etc/passwd", "pathlib"),
        ("https://example.org/cat.png", "--allow-url example.org"),
        ("http://[bad/cat.png", "no address"),
        (5, "a Python int"),
        (Path("/no/such/file"), "cannot be read"),
        (Path("/dev/zero"), "not a regular file"),
        (Path("/etc"), "directory"),
        (Path("/etc/passwd"), "none of the formats"),
        ({"media": "image/png", "sha256": "a" * 63, "bytes": 4}, "a Python dict"),
        ({"media": "text/html", "sha256": "a" * 64, "bytes": 4}, "a Python dict"),
    ],
)
def test_what_is_refused(given: object, why: str) -> None:
    with pytest.raises(MediaProblem, match=why):
        taken(given, "image")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(200 << 20)  # takes no room on the disk
    with pytest.raises(MediaProblem, match="209,715,200 bytes, and an image may have 20,971,520"):
        taken(path, "image")
    with pytest.raises(MediaProblem, match="too large"):
        taken(PNG + bytes(21 << 20), "image")


# --- rows ---


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "cat.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG + b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "out").symlink_to(tmp_path)
    return folder


def test_a_row_names_files_of_its_folder(data: Path) -> None:
    access = Access(data)
    assert taken("photos/cat.png", "image", access).data == PNG
    assert taken(
        str(data / "photos" / "cat.png"), "image", Access(data, consent=Consent(paths=(data,)))
    )


@pytest.mark.parametrize(
    "name", ["../secret.png", "link.png", "out/secret.png", "photos/../../secret.png", "~/x.png"]
)
def test_a_row_names_no_other_file(data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaProblem, match="not in the folder of the data"):
        taken(name, "image", Access(data))
    with pytest.raises(MediaProblem, match="not in the folder of the data"):
        taken(str(tmp_path / "secret.png"), "image", Access(data))


def test_the_user_may_allow_a_folder(data: Path, tmp_path: Path) -> None:
    access = Access(data, consent=Consent(paths=(tmp_path,)))
    assert taken("../secret.png", "image", access).size == len(PNG) + 6


def test_a_row_names_no_address(data: Path) -> None:
    access = Access(data, consent=Consent(urls=("example.org",)))
    with pytest.raises(MediaProblem, match="may name files only"):
        taken("https://example.org/cat.png", "image", access)


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_that_is_none(data: Path, name: str) -> None:
    with pytest.raises(MediaProblem, match="names no file"):
        taken(name, "image", Access(data))


# --- addresses ---


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "/cat.png")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PNG if self.path == "/cat.png" else PNG + bytes(40 << 20))

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site():
    server = HTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_address_that_is_allowed_is_fetched(site: str) -> None:
    access = Access(consent=Consent(urls=("127.0.0.1",)))
    assert taken(f"{site}/cat.png", "image", access).data == PNG
    with pytest.raises(MediaProblem, match="302"):  # it may lead to any host
        taken(f"{site}/away", "image", access)
    with pytest.raises(MediaProblem, match="too large"):
        taken(f"{site}/large", "image", access)
    for other in ("example.org", "127.0.0.1:1", "https://127.0.0.1"):
        with pytest.raises(MediaProblem, match="not allowed"):
            taken(f"{site}/cat.png", "image", Access(consent=Consent(urls=(other,))))


# --- the store ---


def test_equal_contents_are_kept_once_and_for_their_user_only() -> None:
    for _ in range(3):
        media = taken(PNG, "image")
    assert media_store().stats() == (1, len(PNG))
    (file,) = media_store().root.glob("??/*")
    assert file.stat().st_mode & 0o077 == 0
    assert media_store().clear() == 1
    with pytest.raises(LmcError) as missing:
        _ = media.data
    assert missing.value.code == "media-missing"


def test_a_file_that_was_changed_is_not_sent() -> None:
    media = taken(PNG, "image")
    (file,) = media_store().root.glob("??/*")
    file.write_bytes(JPEG)
    media_store()._recent.clear()
    with pytest.raises(LmcError, match="damaged") as damaged:
        _ = media.data
    assert damaged.value.code == "media-missing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "closed" / "cache"))
    assert taken(PNG, "image").data == PNG


# --- values ---


def test_a_value_in_python_and_in_json() -> None:
    value = to_json(IMAGE, PNG)
    assert validate(IMAGE, value) == value
    media = to_python(IMAGE, value)
    assert media == Media.of_bytes(PNG)
    assert to_json(IMAGE, media) == value
    with pytest.raises(InvalidValue):
        validate(SOFT_TYPES["audio"], value)
    with pytest.raises(InvalidValue):
        validate(IMAGE, "cat.png")


def test_turns_in_the_form_of_openai() -> None:
    given = [
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is"},
                {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}},
                {"type": "text", "text": "this?"},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "7", "function": {"name": "look", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "7", "content": "a cat"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {
            "data": base64.b64encode(CONTENTS["audio/wav"]).decode(), "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {
            "file_data": data_url("application/pdf", CONTENTS["application/pdf"])}}]},
    ]  # fmt: skip
    turns = to_python(MESSAGES, to_json(MESSAGES, given))
    assert [t.role for t in turns] == ["system", "user", "assistant", "tool", "user", "user"]
    assert turns[1].content == "What is\nthis?"
    assert [m.kind for t in turns for m in t.files] == ["image", "audio", "pdf"]
    assert turns[2].content == ""
    (call,) = turns[2].calls
    assert (call.tool, call.arguments, call.id) == ("look", {"x": 1}, "7")
    assert (turns[3].tool, turns[3].call, turns[3].content) == ("look", "7", "a cat")
    assert to_json(MESSAGES, turns) == to_json(MESSAGES, given)


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ({"role": "boss", "content": "x"}, "must be one of: system, user, assistant, tool"),
        ({"role": "user", "content": 5}, "must be text"),
        ({"content": "x"}, "role"),
        ({"role": "user", "content": "x", "extra": 1}, "has no field `extra`"),
        ({"role": "user", "content": [{"type": "video"}]}, "unknown type"),
        ({"role": "user", "content": ["x"]}, "unknown type"),
        ({"role": "user", "content": "x", "files": ["/etc/passwd"]}, r"\[0\].files\[0\].*pathlib"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]},
         "pathlib"),
        ("hello", "must be an object"),
    ],
)  # fmt: skip
def test_turns_that_are_refused(turn: object, why: str) -> None:
    with pytest.raises(InvalidValue, match=why):
        to_json(MESSAGES, [turn])


def test_a_text_in_python_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaProblem, match="pathlib"):
        taken("cat.png", "image", VALUES_ONLY)
    assert taken(Path("cat.png"), "image", VALUES_ONLY).data == PNG
