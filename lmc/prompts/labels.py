"""Read truth values and choices from a model's answer. An answer that leaves it open is refused."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from heapq import nlargest
from operator import itemgetter

from lmc.prompts.assertions import SECOND_THOUGHTS, framed, standing, without_denials_of_doubt
from lmc.prompts.spec import ParseFailure
from lmc.prompts.words import WRAPPING, plain_words, shown, without_struck
from lmc.types import EnumType, LiteralType

MAX_LEN = 100_000  # characters; longer texts are not a word with reasons

_TRUE = {"true", "yes", "correct", "right", "valid", "y", "1"}
_FALSE = {"false", "no", "incorrect", "wrong", "invalid", "n", "0"}
_TRUTH = re.compile(
    r"(?<![\w-])(true|yes|correct|right(?![ \t]+\w)|valid|false|incorrect|wrong|invalid"
    # in "no doubt" and "no problem", "no" is not an answer
    r"|no(?![ \t]+(?!(?:it|that|this|there|they|he|she|we|i|you)\b)\w))(?![\w-])"
)
_NO_THING = re.compile(
    r"no[ \t]+(?!(?:it|that|this|there|they|he|she|we|i|you|because|since|as|for)\b)\w", re.I
)
MAX_MENTIONS = 500
MOST_TOLD = 100  # choices that a message lists, and that are searched without a choice among them
_LIKE = 8
_WORD = re.compile(r"[^\W_]+")
_TRUTHS = dict.fromkeys(_TRUE, "true") | dict.fromkeys(_FALSE, "false")
_PLAIN_NOT = re.compile(r"(?:\bnot|n['’]t)\s+\Z", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;\n(—]|\b(?:because|since|although)\b", re.IGNORECASE)
_ADVERB = re.compile(r"(?:clearly|definitely|probably|likely|an?|the)\s", re.IGNORECASE)
# Words with many uses in prose. They count only in the place of an answer.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and any as at by for he i if in is it no none not of off on one or other out so the"
        " to up us we yes all both",
    )
)
_CUE = re.compile(
    r"\b(?:answer|result|label|class|category|classification|verdict|choice|option|decision|conclusion"
    r"|sentiment|rating)\b[*_\"`]*+[ \t]*+(?:is|was|=|:)[ \t]*+[:=]?|####"
    r"|\\boxed\{(?:\\text\{)?|^A:"
    r"|\b(?:option|choice|answer|label|class|category)[ \t]+(?=\W{0,3}\w\b)",
    re.I | re.M,
)
_SO = re.compile(
    r"\b(?:so|therefore|thus|hence|overall|finally|in conclusion|ultimately)\b[,:]?", re.I
)
_OPENING = re.compile(r"[\s*_`\"'“‘„«「『(\[{<>#~|$→➡•✅✔☑\ufe0f-]*+")
_CLOSING = r"[*_`\"'”’“»」』)\]}>$]*+"
_STANDS = re.compile(
    rf"{_CLOSING}[ \t]*+(?:\Z|[.,;:!)\n(\[—–|<。,;:!、]|-\s|[^\w\s?+]+\s*\Z"
    rf"|\b(?:because|since|as|for|due|although|though|while|with"
    r"|given|rather than|instead of|as opposed to)\b"
    rf"|(?:is|was)[ ](?:the[ ])?(?:correct|right|best|better)\b)",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"[*_`\"']*[)\]][ \t](?![^.\n]{0,200}\b(?:wrong|incorrect|false|not|no)\b)", re.IGNORECASE
)  # after the letter of an option: `(B) Paris`
# Nouns that a label stands before: "a billing problem".
_NOUN = re.compile(
    r"(?:\s+(?:answer|case|category|class|claim|comment|content|email|error|impact|inquiry|issue|label"
    r"|language|level|mail|matter|message|one|option|post|priority|problem|query|question|rating"
    r"|report|request|response|review|risk|sentiment|severity|statement|support|text|ticket|tone"
    r"|topic|tweet)s?\b){1,2}",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s+(?:to|by|about|of|in|on|at|from|overall|that)\b", re.IGNORECASE)
_BEST = re.compile(
    rf"{_CLOSING}[ \t]+(?:(?:is|was)[ ](?:the[ ])?(?:correct|right|best|better|winner)\b"
    r"|wins\b[ \t]*(?:\Z|[.!,\n]))",
    re.IGNORECASE,
)
_PARTLY = re.compile(r"\b(?:mostly|somewhat|slightly|fairly|rather)\s+\Z", re.IGNORECASE)
_SIGNED = re.compile(r"(?:[-+−<>=$]\w|[<>=]\s).*|.*\w[-+%]", re.DOTALL)  # not the bare name
_LINE_START = re.compile(r"^[\s*_`\"'(\[#>-]*+", re.MULTILINE)
_LISTED = re.compile(rf"{_CLOSING}[ \t]*+(?:\Z|[.,;:!)\n=]|-\s)")
_OR = re.compile(
    r"[\s*_`\"'”’).,;:!(\[—–|/&+-]*+(?:or|and|but|not|maybe|perhaps|possibly|/)?[\s*_`\"'(]*+", re.I
)


def read_bool(text: str) -> bool:
    """Read yes or no. Raises: ParseFailure if the text says neither or both."""
    plain = text.strip(WRAPPING + "[]{}<>#").lower()
    if plain in _TRUE | _FALSE and not text.rstrip().endswith("?"):
        return plain in _TRUE
    text = _cleaned(text)
    found = [(m, _TRUTHS[m[1]]) for m in _TRUTH.finditer(_lowered(text))] if _fits(text) else []
    return _Said("expected true or false", text, found).one() == "true"


def read_choice(type: EnumType | LiteralType, text: str) -> str:
    """Read one of the names. Raises: ParseFailure if the text gives none or several."""
    choices = type.values if isinstance(type, LiteralType) else type.variants
    if text.strip() in choices:
        return text.strip()
    by_words = _by_words(choices)
    text = _cleaned(text)
    said = by_words.get(_bare(text)) if _fits(text) else None
    if said is not None and not _SIGNED.fullmatch(text.strip()):
        return said
    expected = _expected(choices, text)
    found = _mentions(_possible(choices, text)).finditer(text) if _fits(text) else ()
    whole = [
        (m, _named(choices, m[0]))
        for m in found
        if not (m["glued"] or _NO_THING.match(text, m.start()))
    ]
    return _Said(expected, text, whole, by_words).one()


def _cleaned(text: str) -> str:
    return without_denials_of_doubt(without_struck(text)) if _fits(text) else text


def _fits(text: str) -> bool:
    return len(text) <= MAX_LEN


def _bare(text: str) -> str:
    return plain_words(text.strip(WRAPPING + "[]{}<>#|~")).strip("[]{}<>#|~")


def _expected(choices: tuple[str, ...], text: str) -> str:
    """What is asked for, in words. Of many choices, those that are like the text."""
    if len(choices) <= MOST_TOLD:
        return f"expected one of: {', '.join(choices)}"
    said = _words(text[:1000])
    shared = [(len(said & words), choice) for choice, words in _words_of(choices)]
    like = [choice for count, choice in nlargest(_LIKE, shared, key=itemgetter(0)) if count]
    more = f", such as {', '.join(like)}" if like else ""
    return f"expected one of the {len(choices):,} labels, exactly as they are given{more}"


def _possible(choices: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The choices that a text may mention: of many, those whose words are all in it.

    A text that may mention very many gives none of them.
    """
    if len(choices) <= MOST_TOLD:
        return choices
    said = _words(text)
    found = tuple(choice for choice, words in _words_of(choices) if words <= said)
    return found if len(found) <= MOST_TOLD else ()


@lru_cache(maxsize=16)
def _words_of(choices: tuple[str, ...]) -> list[tuple[str, frozenset[str]]]:
    return [(choice, _words(choice)) for choice in choices]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


@lru_cache(maxsize=16)
def _by_words(choices: tuple[str, ...]) -> dict[str, str]:
    """Choices by their plain words. Choices with equal plain words must be written exactly."""
    found: dict[str, str] = {}
    for choice in choices:
        words = plain_words(choice)
        found[words] = "" if words in found else choice
    return {words: choice for words, choice in found.items() if words and choice}


def _named(choices: tuple[str, ...], text: str) -> str:
    return text if text in choices else _by_words(choices).get(plain_words(text), "")


@lru_cache(maxsize=256)
def _mentions(choices: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern for the choices in prose as whole words, the longest first.

    The group `glued` takes a choice of several words that is part of another word. A shorter choice
    inside it is then not found: "unvery positive" does not say "positive".
    """
    parts, glued = [], []
    for choice in sorted(filter(None, choices), key=len, reverse=True):
        words = [re.escape(word) for word in re.split(r"[\s_-]+", choice.strip("_- ")) if word]
        written = r"[\s_-]+".join(words) or re.escape(choice)
        plain = choice.strip("_- ")
        before = r"(?<![\w-])" if plain[:1].isalnum() else ""
        after = r"(?![\w+-])" if plain[-1:].isalnum() else ""
        if plain.isdigit():  # not a part of another number
            before += r"(?<![\d\w][.,:/])(?<![$€£<>=+−])(?<![<>=+−][ ])"
            after += r"(?![.,:/]\d|[ ]?%)"
        parts.append(f"{before}{written}{after}")
        glued += [written] if len(words) > 1 else []
    return re.compile("|".join([*parts, f"(?P<glued>{'|'.join(glued) or '(?!)'})"]), re.IGNORECASE)


def _lowered(text: str) -> str:
    lower = text.lower()
    return (lower if len(lower) == len(text) else text).replace("’", "'")


class _Said:
    """The names that a text mentions, and the one that it gives as its answer."""

    def __init__(
        self,
        expected: str,
        text: str,
        found: Sequence[tuple[re.Match[str], str]],
        by_words: dict[str, str] | None = None,
    ) -> None:
        self.expected, self.text, self.truths = expected, text, by_words is None
        self.by_words = _TRUTHS if by_words is None else by_words
        self.found = [(m, name) for m, name in found if name]
        self._starts = [m.start() for m, _ in self.found]

    def one(self) -> str:
        """The name that is the answer. Raises: ParseFailure."""
        ranks = (self._told, self._first, self._last_line, self._concluded, self._only)
        for rank in ranks if len(self.found) <= MAX_MENTIONS else ():
            names = set(rank())
            if len(names) == 1 and "" not in names:
                return names.pop()
            if names:
                break
        raise self._refusal()

    def _refusal(self) -> ParseFailure:
        if not self.truths:
            return ParseFailure(f"{self.expected}; got {shown(self.text)}")
        known = len({name for _, name in self.found})
        problem = ("neither was found", "it is left open", "both were found")[known]
        return ParseFailure(f"{self.expected}, but {problem} in {shown(self.text)}")

    # --- places of an answer; an empty name is one that the text takes back ---

    def _told(self) -> list[str]:
        """The names after "the answer is", and then the name at the start of the text."""
        told = [name for cue in _CUE.finditer(self.text) for name in self._at(cue.end())]
        if not told:
            return []
        return [*told, *self._at(0), *self._doubted(set(told))]

    def _first(self) -> list[str]:
        """The name at the start of the text, and the name that is the last line."""
        first = self._at(0)
        if not first:
            opening = _OPENING.match(self.text)
            at_once = opening is not None and self._starts[:1] == [opening.end()]
            return [""] if at_once and self._alternative(0) else []
        more = len(self.found) > 1
        doubt = more and SECOND_THOUGHTS.search(self.text, self.found[0][0].end())
        return [*first, *([""] if doubt else []), *self._listed(), *self._last_line()]

    def _doubted(self, told: set[str]) -> list[str]:
        """An empty name if second thoughts lead to another name than the told one."""
        thought = SECOND_THOUGHTS.search(self.text, self.found[0][0].end())
        later = self.found[bisect_left(self._starts, thought.end()) :] if thought else []
        other = [m for m, name in later if name not in told and self._standing(m) == "asserted"]
        return [""] if other else []

    def _listed(self) -> list[str]:
        """The names that begin a line as in a list: one of them is not chosen yet."""
        names = []
        for line in _LINE_START.finditer(self.text):
            place = bisect_left(self._starts, line.end())
            if place < len(self.found) and self._starts[place] == line.end():
                mention, name = self.found[place]
                if _LISTED.match(self.text, mention.end()):
                    names.append(name)
        return names

    def _last_line(self) -> list[str]:
        """The last line, if it is only a name."""
        lines = self.text.strip().rsplit("\n", 1)
        name = self.by_words.get(_bare(lines[-1])) if len(lines) > 1 else None
        return [name] if name else []

    def _concluded(self) -> list[str]:
        """The names in the sentence after the last "so"."""
        told = list(_SO.finditer(self.text))
        later = self.found[bisect_left(self._starts, told[-1].end()) :] if told else []
        if not later or _SENTENCE_END.search(self.text, told[-1].end(), later[-1][0].start()):
            return []
        since = told[-1].end()
        return [
            name
            for m, n in later
            if (self._counts(m) or self._is_letter(m))
            and self._gives(m, since)
            and (name := self._value(m, n))
        ]

    def _only(self) -> list[str]:
        """The asserted names; none if one of them is also denied or left open."""
        values: list[str] = []
        for mention, name in self.found:
            if self._counts(mention) and (value := self._given(mention, name)):
                values.append(value)
            elif self._counts(mention) and (self.truths or self._standing(mention) != "denied"):
                values.append("")
        if self.truths and values:
            values += [self._value(m, n) for m, n in self.found if not self._counts(m)]
        denied = {n for m, n in self.found if self._standing(m) == "denied"}
        spoilt = not self.truths and denied & set(values)
        return values if set(values) != {""} and not spoilt else []

    # --- one mention ---

    def _at(self, start: int) -> list[str]:
        """The name at an offset, if the words around it allow it as the answer."""
        opening = _OPENING.match(self.text, start)
        at = opening.end() if opening else start
        place = bisect_left(self._starts, start)
        if place >= len(self.found):
            return []
        mention, name = self.found[place]
        if mention.start() > at and not _ADVERB.fullmatch(self.text, at, mention.start()):
            return []
        if self._standing(mention) != "asserted":
            return [self._flipped(mention, name)] if self.truths else []
        return self._let_stand(place, spoken=self.truths and mention.start() == at)

    def _let_stand(self, place: int, *, spoken: bool) -> list[str]:
        mention, name = self.found[place]
        if self._alternative(place):
            return []
        if self.truths and self._contradicted(place):
            return [""]
        spoken = spoken and mention[0].lower() != "right"
        return [name] if spoken or self._stands(mention) else []

    def _stands(self, mention: re.Match[str]) -> bool:
        """Whether a name is the whole of what is said: at the end of a clause, or an option."""
        option = len(_bare(mention[0])) == 1 and _CLOSED.match(self.text, mention.end())
        return bool(option or _STANDS.match(self.text, mention.end()))

    def _gives(self, mention: re.Match[str], since: int = 0) -> bool:
        """Whether the sentence around a name gives it as the answer."""
        start, end = mention.start(), mention.end()
        if self.truths and _PARTLY.search(self.text, max(0, start - 20), start):
            return False
        if self.truths and (before := _PLAIN_NOT.search(self.text, max(0, start - 20), start)):
            start = before.start()
        if self._is_quoted(start):
            return False
        if _BEST.match(self.text, end):
            return True
        noun = None if self.truths else _NOUN.match(self.text, end)
        stands = self._stands(mention) or (noun and _STANDS.match(self.text, noun.end()))
        goes_on = _GOES_ON.match(self.text, end)
        return framed(self.text, start, since) and bool(stands or goes_on)

    def _given(self, mention: re.Match[str], name: str) -> str:
        return self._value(mention, name) if self._gives(mention) else ""

    def _is_quoted(self, at: int) -> bool:
        """Whether an offset is inside of a quotation that began before: `"approved: true"`."""
        line = self.text[self.text.rfind("\n", max(0, at - 500), at) + 1 : at].rstrip()
        return line.count('"') % 2 == 1 and not line.endswith('"')

    def _is_letter(self, mention: re.Match[str]) -> bool:
        return mention[0].isupper() and len(mention[0]) == 1 and self._stands(mention)

    def _alternative(self, place: int) -> bool:
        """Whether another name follows immediately, as in "spam or ham"."""
        mention, name = self.found[place]
        if place + 1 == len(self.found) or self.found[place + 1][1] == name:
            return False
        following = self.found[place + 1][0]
        if not _OR.fullmatch(self.text, mention.end(), following.start()):
            return False
        between = self.text[mention.end() : following.start()]
        return not re.search(r"\bnot\b", between) and "\n" not in between

    def _contradicted(self, place: int) -> bool:
        """Whether the same sentence also says the other truth value."""
        mention, name = self.found[place]
        end = _SENTENCE_END.search(self.text, mention.end())
        stop = end.start() if end else len(self.text)
        later = [f for f in self.found[place + 1 : place + 9] if f[0].start() < stop]
        return any(self._value(m, n) != name for m, n in later)

    def _counts(self, mention: re.Match[str]) -> bool:
        """Whether a word in prose is a mention of its name."""
        said = mention[0].lower()
        if self.truths:
            return said not in ("yes", "no")
        plain = _bare(said)
        if plain != said:
            return True  # such as in brackets
        return plain not in _COMMON and len(plain) > 1 and not plain.isdigit()

    def _standing(self, mention: re.Match[str]) -> str:
        return standing(self.text, mention.start(), mention.end())

    def _value(self, mention: re.Match[str], name: str) -> str:
        if self._standing(mention) == "asserted":
            return name
        return self._flipped(mention, name) if self.truths else ""

    def _flipped(self, mention: re.Match[str], name: str) -> str:
        """The opposite truth value if "not" stands right before it; else an empty name."""
        before = _PLAIN_NOT.search(self.text, max(0, mention.start() - 20), mention.start())
        if before is None or standing(self.text, before.start(), mention.end()) != "asserted":
            return ""
        return "false" if name == "true" else "true"
