"""Decide whether an answer asserts, denies or only mentions some words: "not spam, so ham".

Many sentences mention a label without giving it: "the mail has the word spam", "kein Spam". So
prose gives a label only in a sentence of a known form: "it is spam", "I'd call it spam".
"""

from __future__ import annotations

import re
from typing import Literal

Standing = Literal["asserted", "denied", "open"]

_REACH = 90  # characters of a clause that are read on each side
_NEW_CLAUSE = re.compile(
    r"[.;:!?\n\u2014]|(?<!anything )(?<!nothing )(?<!all )\b(?:but|so|(?<!not )yet|therefore|thus"
    r"|hence|and it|making it|which makes it)\b"
    r"|,\s*(?=(?:it|this|that|the|i|we|rather|making|leaving)\b)"
    r"|(?:,|\bit)\s*(?:is|['’]s)\s(?=(?!not)\w)",
    re.IGNORECASE,
)
_CERTAIN = re.compile(
    r"\b(?:no|without(?: a| any)?|beyond(?: a| any)?|never in)\s(?:doubt|question)|\bnot only\b",
    re.I,
)
_DENIES = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|without|hardly|barely|scarcely|rather than"
    r"|instead of|unlike"
    r"|far from|anything but|opposed to|except|excluding|other than|rul(?:e|ed|es|ing) out"
    r"|exclud(?:e|ed|es)"
    r"|lack|lacks|lacking|less|opposite of|false that|wrong to|unlikely|fail(?:s|ed)? to"
    r"|nothing|nobody|none|few|little|doubt|doubts|refuse|hesitate|avoids?|free of|hard to"
    r"|difficult to|too \w+ (?:to|for)"
    r"|(?:is|are|was|were|do|does|did|ca|wo|would|should|could|has|have|had|ai)nt|[a-z]{2,6}n['’]t)\b"
    r"|\bnon(?=[ -])",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"\b(?:if|unless|whether|were|would be if|supposedly|allegedly|claim(?:s|ed) (?:to|that|it)"
    r"|looks like|look like"
    r"|seem(?:s|ed)? like|appears? (?:to be|like)|could|might have|between|either|at first"
    r"|thought|first|would be|may|might|potentially|used to|almost|nearly|partially|partly|half"
    r"|says|said|writes|wrote|quotes?|mentions?|contains?)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\"'`*)\]”’]*[ \t]*(?:\?|[:=]\s*(?:no|false)\b(?![ \t]+\w)|(?:label|class"
    r"|category)?\s*(?:(?:is|was|are|were|does|would|can|could|should"
    r"|has|seems|appears|looks)(?:\s(?:be|to be|clearly|simply|also))?\s)?(?:not|cannot"
    r"|wrong|incorrect|false"
    r"|untrue|unlikely|impossible|excluded|ruled out|inapplicable|[a-z]{2,6}n['’]t)\b)",
    re.IGNORECASE,
)
# What makes a statement conditional or partial, right after the words.
_OPEN_AFTER = re.compile(
    r"[\"'`*)\]”’]*[ \t]*[,;(—–-]?[ \t]*(?:but[ ])?(?:only[ ])?(?:"
    r"(?:if|unless|until|except|once|provided|assuming|depending|partially|partly"
    r"|in part|apart from|as long as|at (?:most|least)|at best|enough)\b"
    r"|or (?:higher|lower|above|below|more|less|worse|better)\b|when (?!i\b)|\+)"
    r"|[ \t]*[:=][ \t]*[\d.,]+[ \t]*%?[ \t]*(?:\Z|[\n,;])"
    r"|(?:[ \t]\w+)?[ \t](?:to|by|in|for|of|from|with)[ ](?:no|nothing|none|nobody|no one|not)\b",
    re.IGNORECASE,
)
SECOND_THOUGHTS = re.compile(
    r"\b(?:actually|correction|on (?:reflection|second thought)|scratch that|i mean"
    r"|make (?:that|it)"
    r"|wait|rather(?! than)|instead(?! of)|no,|however|changed my mind|hmm+"
    r"|edit:|well,|sorry|oops|in fact)",
    re.IGNORECASE,
)


def without_denials_of_doubt(text: str) -> str:
    """The text with spaces for "no doubt" and the like, which deny nothing."""
    return _CERTAIN.sub(lambda m: " " * len(m[0]), text)


def standing(text: str, start: int, end: int) -> Standing:
    """Whether the clause asserts, denies or leaves open the words from `start` to `end`."""
    before = text[max(0, start - _REACH) : start]
    clauses = list(_NEW_CLAUSE.finditer(before))
    clause = before[clauses[-1].end() if clauses else 0 :]
    if _DENIES.search(clause) or _DENIED_AFTER.match(text, end, end + _REACH):
        return "denied"
    if _SUPPOSES.search(clause) or _OPEN_AFTER.match(text, end, end + _REACH):
        return "open"
    return "asserted"


_ADVERBS = (
    r"(?:(?:an?|the|all|very|clearly|definitely|definitively|probably|likely|certainly|obviously"
    r"|really|quite|mostly|overall|simply|just|indeed|thus|therefore|also|still|now|actually|well"
    r"|pretty|somewhat|slightly|fairly|rather|leaning|strongly|primarily|only|fully|highly|best"
    r"|most|in fact|of course|classified|labell?ed|rated|described|considered|categori[sz]ed|marked"
    r"|as|to be|be|in|into|to|under|category|label|class|option|choice)"
    r"\W+)*+"
)
_SUBJECT = (
    r"(?!(?:what|who|which|where|when|why|how|something|some|many|everything|one|other)\b)"
    r"(?:(?:the|this|that|these|all|my|your|its|his|her|their|our|overall)\s+(?:[\w'’-]+\s+){0,4}?)?"
    r"[\w'’-]+?"
)
_IS = (
    r"(?:\s+(?:is|are|was|were|(?:seems|appears)(?: to be)?|looks|feels|sounds|remains"
    r"|(?:must|should|has to) be|counts|falls|belongs|fits|am|expresses|conveys|has"
    r"|reflects|can be (?:classified|labell?ed|described))\b|['’](?:s|m|re)\b)"
)
_SAY = (
    r"(?:i|we)(?:['’](?:d|ll|m|ve)|\s(?:would|will|have|am|must|should))?\s+"
    r"(?:say|call|classify|classified|label|rate|choose|chose|pick|go|going|answer|consider|judge"
    r"|vote|mark|think|believe|find|prefer|select|guess|assign|tag|categori[sz]e|lean|see|conclude)"
    r"(?:\s+(?:(?:it|(?:the|this|that)\s\w+(?:\s\w+)?|this|that)(?:['’]s|\sis)?|these|for|with|towards?|to|as))*"
)
_FRAME = re.compile(rf"\W*(?:(?:{_SAY}|{_SUBJECT}{_IS})(?:\W+|\Z))?{_ADVERBS}", re.IGNORECASE)
_SENTENCE = re.compile(
    r"[.;!?:\n\u2014]|\s[-–]\s|(?<![!<>])=|>"
    r"|\b(?:but|so|(?<!not )yet|therefore|thus|hence|overall)\b"
    r"|,\s*(?=(?:it|this|that|the|i|we)\b)|\b(?:making it|which makes it)\b",
    re.IGNORECASE,
)


def framed(text: str, start: int, since: int = 0) -> bool:
    """Whether the sentence begins as one that gives the word at `start`: "I'd say it is …"."""
    since = max(since, start - _REACH)
    breaks = list(_SENTENCE.finditer(text, since, start))
    return bool(_FRAME.fullmatch(text, breaks[-1].end() if breaks else since, start))
