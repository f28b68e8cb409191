"""Checks media and conversations: files named in a program, results, and `keep`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmc import types
from lmc.check.program import ModuleDef, ToolDef
from lmc.check.scope import CheckContext, Env
from lmc.consent import Consent
from lmc.diagnostics import Label
from lmc.media.content import KINDS, MediaProblem
from lmc.media.given import Access, taken
from lmc.syntax import nodes
from lmc.types import Type

# From a kind, a name in the program, and the folder of its file: the media in JSON form.
MediaReader = Callable[[str, str, Path], dict[str, Any]]
_WRITING = ("generate", "critique", "refine", "agent")  # modules whose model writes the result


def media_reader(consent: Consent) -> MediaReader:
    """Reads files beside the program, and in folders that `consent` allows."""

    def read(kind: str, name: str, folder: Path) -> dict[str, Any]:
        return taken(name, kind, Access(folder, consent=consent, owner="the program")).to_json()

    return read


def held_media(kind: str, name: str, folder: Path) -> dict[str, Any]:
    """Stands for any file, where none may be read."""
    mime = {"image": "image/png", "audio": "audio/wav", "pdf": "application/pdf"}[kind]
    return {"media": mime, "sha256": "0" * 64, "bytes": 1}


def infer_media(env: Env, call: nodes.Call, kind: str) -> Type:
    """The type of `image("cat.png")`. The file is read here, so its name must be a constant."""
    wanted = types.MediaType(kind)
    match call.args:
        case (nodes.Arg(name=None, value=nodes.String(value=name) as text),):
            env.ctx.program.types[id(text)] = types.LiteralType((name,))
        case _:
            message = f"`{kind}` takes the name of one file, written out"
            help = "a file that is only known when the program runs is an input"
            env.ctx.report("bad-media", message, call.span, help=help)
            return types.ERROR
    home = env.file.tree.source.path
    folder = home.parent if home is not None else Path()
    try:
        env.ctx.program.media[id(call)] = env.ctx.media(kind, name, folder)
    except MediaProblem as problem:
        env.ctx.report("bad-media", f"the file {problem}", text.span)
        return types.ERROR
    return wanted


def check_written(ctx: CheckContext, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Report a result that no model can write: one with media or turns."""
    if module.kind not in _WRITING and module.by != "model":
        return
    result, span = module.signature.result, decl.signature.result.span
    if not types.has_media(result):
        return
    if any(part == types.MESSAGE for part in types.parts(result)):
        message = f"a model cannot write `{result}`: it could give its words any role"
        help = "give the text, and add the turns in a pipeline: `history + [user(q), assistant(a)]`"
    else:
        part = next(p for p in types.parts(result) if isinstance(p, types.MediaType))
        message = f"a model cannot write `{part}`: it gives text"
        help = "models take images, audio and PDFs as inputs; a tool can return them"
    ctx.report("media-result", message, span, help=help)


def check_histories(ctx: CheckContext, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check that a module has one conversation at most, and `keep` only with one."""
    found = [p for p in module.signature.params if types.is_messages(p.type)]
    if len(found) > 1:
        first = Label(found[0].span, "the first one")
        message = f"`{decl.name.name}` has two conversations, and a model sees one"
        help = "join them with `+`, or give one of them as text"
        ctx.report("two-histories", message, found[1].span, first, help=help)
    kept = next((s for s in decl.settings if s.key.name == "keep"), None)
    if kept is not None and "keep" in module.settings and not found and module.kind != "search":
        message = f"`keep` shortens a conversation, and `{decl.name.name}` takes none"
        ctx.report("idle-keep", message, kept.key.span, help="add a parameter `history: messages`")


def check_tool_of_agent(env: Env, item: nodes.Var, tool: Any) -> None:
    """Report a tool whose arguments no model can write."""
    params = getattr(tool, "signature", None)
    for param in params.params if params else ():
        if types.has_media(param.type):
            kind = "tool" if isinstance(tool, ToolDef) else "module or pipeline"
            message = f"an agent cannot call the {kind} `{item.name}`: no model can write its "
            place = Label(param.span, f"`{param.type}`")
            help = "call it in a pipeline, and give the agent what it returns"
            env.ctx.report("bad-agent", f"{message}`{param.name}`", item.span, place, help=help)


def is_media_name(name: str) -> bool:
    """Whether `name("…")` names a file."""
    return name in KINDS
