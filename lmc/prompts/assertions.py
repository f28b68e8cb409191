"""Decide whether an answer asserts, denies or only mentions some words: "not spam, so ham"."""

from __future__ import annotations

import re
from typing import Literal

Standing = Literal["asserted", "denied", "open"]

_REACH = 90  # characters of a clause that are read on each side
_NEW_CLAUSE = re.compile(
    r"[.;:!?\n\u2014]|(?<!anything )(?<!nothing )(?<!all )\b(?:but|so|yet|therefore|thus"
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
    r"|lack|lacks|lacking|less|opposite of|false that|wrong to|unlikely|fails? to"
    r"|[a-z]{2,6}n['’]?t)\b"
    r"|\bnon(?=[ -])",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"\b(?:if|unless|whether|were|would be if|supposedly|allegedly|claim(?:s|ed) (?:to|that|it)"
    r"|looks like|look like"
    r"|seem(?:s|ed)? like|appears? (?:to be|like)|could|might have|between|either|at first"
    r"|thought|first)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\"'`*)\]”’]*\s*(?:\?|[:=]\s*(?:no|false)\b|(?:label|class|category)?\s*(?:(?:is|was|are|were|does|would|can|could|should"
    r"|has|seems|appears|looks)(?:\s(?:be|to be|clearly|simply|also))?\s)?(?:not|cannot"
    r"|wrong|incorrect|false"
    r"|untrue|unlikely|impossible|excluded|ruled out|inapplicable|[a-z]{2,6}n['’]t)\b)",
    re.IGNORECASE,
)
SECOND_THOUGHTS = re.compile(
    r"\b(?:actually|correction|on (?:reflection|second thought)|scratch that|i mean"
    r"|make (?:that|it)"
    r"|wait|rather|instead|no,|however|changed my mind)",
    re.IGNORECASE,
)


def standing(text: str, start: int, end: int) -> Standing:
    """Whether the clause asserts, denies or leaves open the words from `start` to `end`."""
    before = text[max(0, start - _REACH) : start]
    clauses = list(_NEW_CLAUSE.finditer(_CERTAIN.sub(lambda m: "_" * len(m[0]), before)))
    clause = before[clauses[-1].end() if clauses else 0 :]
    clause = _CERTAIN.sub("", clause)
    if _DENIES.search(clause) or _DENIED_AFTER.match(text, end, end + _REACH):
        return "denied"
    return "open" if _SUPPOSES.search(clause) else "asserted"
