"""Prose gives a label only in a sentence of a known form: "it is spam", "I'd call it spam"."""

from __future__ import annotations

import pytest

from lmc.prompts.labels import read_bool, read_choice
from lmc.prompts.spec import ParseFailure
from lmc.types import LiteralType

# labels, and texts that mention one without giving it
REFUSED: dict[str, list[str]] = {
    "SPAM NOT_SPAM": [
        "I can't tell whether it's SPAM or NOT_SPAM", "SPAM = 0", "10% SPAM", "~~SPAM~~",
        "SPAM -> no",
    ],
    "spam ham": [
        "The message contains the word spam.", "The subject says \"ham\"",
        "The user wrote 'spam' in the text", "It avoids spam words", "free of spam",
        "It has nothing to do with spam", "I refuse to call it spam",
        "I hesitate to call this spam", "It's difficult to call this ham",
        "It would be a stretch to call this spam", "This is too mild to be spam",
        "too friendly for spam", "close to spam", "almost spam", "borderline spam",
        "spam... hmm, ham", "spam — edit: ham", "kein spam", "Das ist kein Spam", "nicht spam",
        "pas spam", "Ce n'est pas du spam", "nie spam", "не spam", "不是 spam",
        "spam ではありません",
        "não é spam", "geen spam", "ikke spam", "inte spam", "spam değil",
    ],
    "positive negative neutral": [
        "Positive: 20%\nNegative: 70%\nNeutral: 10%", "a double negative",
        "The sentence uses a negative.", "false positive", "there is nothing negative here",
        "hard to call positive", "too angry to be neutral",
    ],
    "yes no unsure": [
        "Yes — well, no.", "Yes, but unsure",
    ],
    "A B C D": [
        "B-", "A. no\nB. yes", "Answer: A\n\nWait, actually B.",
    ],
    "supported not_supported partially_supported": [
        "The claim is supported by nothing.", "The claim is supported by no source",
        "Nobody supported it", "poorly supported", "insufficiently supported",
        "weakly supported",
    ],
    "relevant irrelevant": [
        "relevant only if x", "relevant if you like cats",
        "It would be relevant if it named the city.", "relevant to nothing",
        "It is relevant in no way",
    ],
    "low medium high critical": [
        "higher than low", "above medium", "below high", "at least medium", "lower than high",
        "more than low", "up to high", "at most low", "medium or higher", "medium at most",
        "high+", "would be high, were it public", "potentially critical", "may be high",
        "might be high", "high unless patched",
    ],
    "billing technical_issue account other": [
        "account billing", "The customer asks about their account because of billing",
        "The account holder has a technical issue",
    ],
    "model_a model_b tie": [
        "Model A loses", "Model A fails", "Model A makes more errors", "Model A is inferior.",
    ],
    "safe unsafe": [
        "better safe than sorry",
    ],
    "pass fail": [
        "Only 3 of 5 tests pass", "All tests pass but one", "It would pass if x",
        "It failed to pass",
    ],
    "correct incorrect not_attempted": [
        "It is partially correct", "partially correct", "The correct answer is Paris.",
        "The predicted answer differs from the correct answer.", "half correct",
        "nearly correct", "almost correct", "only partly correct",
    ],
    "open closed in_progress": [
        "not yet closed",
    ],
    "1 2 3": [
        "1.5", "-1", "1. The first\n2. the second", "1:30", "2,000", "<2", "Answer: 2.5",
    ],
}  # fmt: skip

READ: dict[str, list[tuple[str, str]]] = {
    "SPAM NOT_SPAM": [
        ("~~SPAM~~ NOT_SPAM", "NOT_SPAM"),
    ],
    "yes no": [
        ("yes, no doubt", "yes"), ("Yes: no errors", "yes"), ("yes。", "yes"),
        ("Yes, it does.", "yes"), ("No, the text does not mention it.", "no"),
        ("Yes. The text says so.", "yes"), ("No. There is no evidence.", "no"),
        ("**Yes.** It is not a problem.", "yes"), ("The answer is yes.", "yes"),
        ("No, because no one said yes.", "no"), ("Yes — there are no issues.", "yes"),
        ("Answer: No", "no"), ("My answer is no.", "no"),
    ],
    "A B C D": [
        ("A) Paris", "A"), ("Option B is correct.", "B"),
        ("Option B is correct, option A isn't.", "B"), ("B is correct", "B"),
        ("The correct answer is (B) Paris.", "B"), ("$\\boxed{C}$", "C"),
        ("Not A, B or C, so D", "D"), ("Not A. Not B. Not C. So D.", "D"),
        ("A) Paris is wrong. B) Rome is right. So B.", "B"), ("A is better than B", "A"),
        ("A。", "A"), ("The correct answer is B) 42.", "B"),
        ("The correct answer is option C.", "C"), ("B. 42", "B"), ("B) 42", "B"),
        ("**B) 42**", "B"), ("Answer: **B**", "B"), ("The answer is (C).", "C"),
        ("The best answer is D.", "D"), ("I believe the answer is A.", "A"),
        ("So, the correct option is (D).", "D"), ("Therefore, the answer is B.", "B"),
        ("Option D: none of the above", "D"), ("Correct answer: C", "C"),
        ("C is the correct answer.", "C"), ("The answer is A because B is too large.", "A"),
        ("D. None of the above", "D"), ("(D) None of these", "D"),
    ],
    "model_a model_b tie": [
        ("Model A is better than Model B", "model_a"),
    ],
    "positive negative neutral": [
        ("The overall sentiment is positive.", "positive"),
        ("This review is clearly negative.", "negative"),
        ("The sentiment expressed in this review is negative.", "negative"),
        ("I would classify this review as negative.", "negative"),
        ("I'd classify the sentiment as neutral.", "neutral"),
        ("Sentiment: negative\n\nThe reviewer complains about the positive hype.", "negative"),
        ("Negative - the reviewer is not positive about it.", "negative"),
        ("This is a negative review.", "negative"),
        ("The text expresses a positive sentiment.", "positive"),
        ("The tone is neutral, as it only states facts.", "neutral"),
        ("Positive. The customer is happy.", "positive"),
        ("Based on the text, the sentiment is positive.", "positive"),
        ("The sentiment of the text is: **positive**", "positive"),
        ("The sentiment of this sentence is positive because it praises the food.", "positive"),
        ("It's positive!", "positive"), ("The review is mostly negative.", "negative"),
        ("The given text is classified as negative.", "negative"),
        ("The text can be classified as neutral.", "neutral"),
        ("This should be labeled negative.", "negative"),
        ("**Sentiment:** Positive\n**Reason:** not negative", "positive"),
    ],
    "spam ham": [
        ("This message is spam.", "spam"), ("This is spam.", "spam"),
        ("The message is likely spam.", "spam"),
        ("The email should be classified as spam.", "spam"),
        ("Spam. It asks for a password.", "spam"), ("This email is ham (legitimate).", "ham"),
        ("Classification: **spam**", "spam"), ("The classification is: ham", "ham"),
        ("I think this is spam.", "spam"), ("I believe this message is spam.", "spam"),
        ("My classification: spam", "spam"), ("Verdict: ham", "ham"),
        ("Spam, because it isn't ham-like.", "spam"), ("It's most likely spam.", "spam"),
    ],
    "low medium high": [
        ("The severity is high.", "high"), ("High severity", "high"),
        ("Severity: medium (not high)", "medium"), ("This is a high priority issue.", "high"),
        ("Priority: low", "low"),
    ],
    "billing technical other": [
        ("This is a billing issue.", "billing"),
        ("Billing: the customer was charged twice.", "billing"),
        ("Category: technical", "technical"), ("This belongs to billing.", "billing"),
        ("This falls under technical.", "technical"),
        ("technical, since the app crashes", "technical"),
        ("The category is technical.", "technical"),
    ],
}  # fmt: skip

TRUTHS: list[tuple[str, bool | None]] = [
    ("I doubt that it's true", None), ("partially true", None), ("half true", None),
    ("almost true", None), ("true in part", None), ("partly correct", None),
    ("It would be true if x", None), ("used to be true", None),
    ("The text says it is false", None), ("The answer is correct except for x", None),
    ("The correct answer is 5", None), ("✅ Yes", True),
    ("The draft quotes \"approved: true\".", None), ("No\n\nYes, it was close.", None),
    ("true if approved by the board", None), ("Yes, if edited", None),
    ("Yes, provided that it is edited", None), ("Yes, unless it rains", None),
    ("Yes, as long as x", None), ("Yes, once the typo is fixed", None),
    ("There's nothing wrong", None), ("Nothing is wrong", None), ("Nothing wrong with it", None),
    ("I see nothing incorrect here.", None), ("Some are correct", None),
    ("Few are correct", None), ("Only one is correct", None), ("2 of 3 are correct", None),
    ("None are correct", None), ("Yes, the claim is supported.", True),
    ("No, the claim is not supported.", False), ("The claim is true.", True),
    ("The statement is false.", False), ("This is correct.", True),
    ("The answer is incorrect.", False), ("That is true.", True), ("The code is valid.", True),
    ("The email is invalid.", False), ("Yes. The draft is ready, no changes are needed.", True),
    ("No. The draft contains 2 errors.", False), ("true - all checks pass", True),
    ("False: the date is wrong", False), ("No, because the date is wrong.", False),
    ("Yes, although some details are wrong.", True), ("The claim is correct because x.", True),
    ("I believe this is true.", True), ("The given statement is true.", True),
    ("This statement is true.", True), ("The response is not valid.", False),
    ("The draft is not correct", False), ("Correct. The total matches.", True),
    ("Incorrect. The total should be 5.", False), ("Wrong", False), ("Yes, approved.", True),
    ("True (see line 2)", True), ("False because the source says it is true", False),
    ("The answer is yes, it is supported.", True), ("Verdict: True", True),
    ("Verdict: false", False), ("Result: correct", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "text"), [(labels, text) for labels, texts in REFUSED.items() for text in texts]
)
def test_a_label_that_is_only_mentioned_is_refused(labels: str, text: str) -> None:
    with pytest.raises(ParseFailure, match=r"^expected one of: "):
        read_choice(LiteralType(tuple(labels.split())), text)


@pytest.mark.parametrize(
    ("labels", "text", "value"),
    [(labels, *case) for labels, cases in READ.items() for case in cases],
)
def test_a_label_that_a_sentence_gives_is_read(labels: str, text: str, value: str) -> None:
    assert read_choice(LiteralType(tuple(labels.split())), text) == value


@pytest.mark.parametrize(("text", "value"), TRUTHS)
def test_a_truth_value_that_is_only_mentioned_is_refused(text: str, value: bool | None) -> None:
    if value is not None:
        assert read_bool(text) is value
        return
    with pytest.raises(ParseFailure, match=r"^expected true or false, but "):
        read_bool(text)
