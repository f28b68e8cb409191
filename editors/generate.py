"""What editors get from the language's own tokens and from one set of queries.

`make grammars` runs it after the parser was generated: `python -m editors.generate`. A test says
when a file is out of date.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lmc.check.builtins import NAMES
from lmc.syntax import textmate
from lmc.syntax.tables import tables
from lmc.syntax.tokens import declaration_kinds

HERE = Path(__file__).parent
GRAMMAR = HERE / "tree-sitter-lmp"
SUMS = GRAMMAR / "src" / "SHA256SUMS"
GENERATED = ("grammar.js", "src/grammar.json", "src/node-types.json", "src/parser.c")

# The queries are written with Neovim's names of captures. Themes of other editors know others.
HELIX = {
    "number": "constant.numeric",
    "boolean": "constant.builtin.boolean",
    "property": "variable.other.member",
    "string.escape": "constant.character.escape",
    "module": "namespace",
    "constant.variant": "type.enum.variant",
    "keyword.type": "keyword.storage.type",
    "keyword.modifier": "keyword.storage.modifier",
    "keyword.import": "keyword.control.import",
    "keyword.conditional": "keyword.control.conditional",
    "keyword.repeat": "keyword.control.repeat",
    "keyword.return": "keyword.control.return",
}
ZED = {
    "module": "namespace",
    "constant.variant": "variant",
    "string.documentation": "string.doc",
    "string.regexp": "string.regex",
    "variable.builtin": "variable.special",
}
_QUERIES = {
    HERE / "helix" / "queries" / "lmp": (HELIX, ("highlights", "injections", "tags")),
    HERE / "zed" / "languages" / "lmp": (ZED, ("highlights", "injections")),
}


def made() -> dict[Path, str]:
    """The files that are made, and what stands in them."""
    return {
        HERE / "vscode" / "syntaxes" / "lmp.tmLanguage.json": textmate.text(),
        HERE / "vim" / "syntax" / "lmp.vim": vim_syntax(),
        **{
            folder / f"{name}.scm": renamed(name, names)
            for folder, (names, queries) in _QUERIES.items()
            for name in queries
        },
    }


def renamed(query: str, names: dict[str, str]) -> str:
    """A query of the grammar with an editor's names of captures."""
    text = (GRAMMAR / "queries" / f"{query}.scm").read_text("utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("; "))
    code = re.sub(r"@([a-z][a-z.]*)", lambda found: "@" + names.get(found[1], found[1]), code)
    return f"; Made by `make grammars` of tree-sitter-lmp/queries/{query}.scm.\n\n{code.strip()}\n"


def sums() -> str:
    """The hashes of the grammar and of what was generated from it."""
    hashes = [hashlib.sha256((GRAMMAR / name).read_bytes()).hexdigest() for name in GENERATED]
    return "".join(f"{found}  {name}\n" for found, name in zip(hashes, GENERATED))


def vim_syntax() -> str:
    """Colours for Vim. It tries a later `match` first, but any `keyword` first: none is used."""
    words = tables().words
    declaring = sorted(word for word, kind in words.items() if kind in declaration_kinds())
    named = {"unique", "frozen", "tokens", *textmate.CONSTANTS, *textmate.OPERATORS}
    return _VIM.format(
        words=r"\|".join(sorted(set(words) - set(declaring) - named)),
        declaring=r"\|".join(declaring),
        constants=r"\|".join(textmate.CONSTANTS),
        operators=r"\|".join(textmate.OPERATORS),
        types=r"\|".join(textmate.TYPES),
        functions=r"\|".join(sorted(name for name in NAMES if name.islower())),
    )


_VIM = r"""" Colours of .lmp, made by `make grammars` of the language's own tokens.
if exists("b:current_syntax")
  finish
endif

syntax match lmpNumber "\<\d[0-9_]*\%(\.\d[0-9_]*\)\?\%([eE][+-]\?\d\+\)\?\>"
syntax match lmpUnit "\%(\d[ \t]\+\)\@<=tokens\>"
syntax match lmpOperator "->\|=>\|??\|?\.\|\.\.\|[-+*/%<>=!]=\?\|[|?]"
syntax match lmpFunction "\<\a\w*\ze("
syntax match lmpBuiltin "\<\%({functions}\)\ze("
syntax match lmpType "\<\%({types}\)\>"
syntax match lmpKeyword "\<\%({words}\)\>"
syntax match lmpKeyword "\<frozen\ze[ \t]*r\?\""
syntax match lmpKeyword "\<unique\ze\_s*[,)]"
syntax match lmpDeclaration "\<\%({declaring}\)\>\ze[ \t]\+[A-Za-z\"{{]" nextgroup=lmpName skipwhite
syntax match lmpName "\<\a\w*\>" contained
syntax match lmpConstant "\<\%({constants}\)\>"
syntax match lmpWordOperator "\<\%({operators}\)\>"
syntax match lmpMember "\%(?\?\.\)\@<=\a\w*\>"
syntax match lmpKey "\<\a\w*\ze[ \t]*:"
syntax match lmpArgument "\%([(,]\_s*\)\@<=\a\w*\ze[ \t]*=[=>]\@!"
syntax match lmpComment "#.*$" contains=@Spell

syntax match lmpEscape "\\\%(u{{\x\{{1,6}}}}\|u\x\{{4}}\|.\)" contained
syntax match lmpBrace "{{{{\|}}}}" contained
syntax region lmpJinja start="{{{{" end="}}}}" contained oneline
syntax region lmpJinja start="{{%" end="%}}" contained oneline
syntax region lmpJinja start="{{#" end="#}}" contained
syntax region lmpString start=+"+ skip=+\\.+ end=+"\|$+ contains=lmpEscape,lmpJinja,@Spell
syntax cluster lmpInside contains=lmpValue,lmpBrace
syntax region lmpPattern start=+\<r"+ skip=+\\.+ end=+"\|$+
syntax region lmpText start=+\"\"\"+ end=+\"\"\"+ contains=lmpJinja,@Spell
syntax region lmpInterpolated start=+\<f"+ skip=+\\.+ end=+"\|$+ contains=lmpEscape,@lmpInside
syntax region lmpInterpolated start=+\<f\"\"\"+ end=+\"\"\"+ contains=@lmpInside
syntax region lmpValue matchgroup=lmpDelimiter start="{{{{\@!" end="}}\|$" contained contains=TOP
syntax region lmpBraces start="{{" end="}}" transparent contains=TOP
syntax sync fromstart

highlight default link lmpNumber Number
highlight default link lmpUnit Keyword
highlight default link lmpOperator Operator
highlight default link lmpFunction Function
highlight default link lmpBuiltin Function
highlight default link lmpType Type
highlight default link lmpKeyword Keyword
highlight default link lmpDeclaration Structure
highlight default link lmpName Identifier
highlight default link lmpConstant Constant
highlight default link lmpWordOperator Operator
highlight default link lmpMember Identifier
highlight default link lmpKey Identifier
highlight default link lmpArgument Identifier
highlight default link lmpComment Comment
highlight default link lmpEscape SpecialChar
highlight default link lmpBrace SpecialChar
highlight default link lmpJinja PreProc
highlight default link lmpString String
highlight default link lmpPattern String
highlight default link lmpText String
highlight default link lmpInterpolated String
highlight default link lmpDelimiter Delimiter

let b:current_syntax = "lmp"
"""


def write() -> None:
    """Write all files anew."""
    for path, text in made().items():
        path.write_text(text, "utf-8")
    SUMS.write_text(sums(), "utf-8")


if __name__ == "__main__":
    write()
