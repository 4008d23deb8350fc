"""Pages that read as if they addressed the model: such a page travels alone in its prompt.

A wiki page is written by its users, and a model can be talked into giving its neighbours in a prompt other labels. In a
prompt of its own a page can harm nobody but itself. Three things protect the others, and each has its limit:

- Every answer is held against the ids that were asked and the labels that are allowed (`prompts.py`). A neighbour that
  is named twice with different labels is asked again, in halves, in the end alone. A model that plainly gives a
  neighbour another *legal* label passes that check.
- So what looks like an instruction is kept apart before it is sent. The signs below are phrases of known attacks, in
  English and in a few words of German, French and Spanish. In doubt a page travels alone, which costs a call. A
  sentence that avoids them all still reaches its neighbours.
- `TAG_SPACE_BATCH_SIZE=1` is the only complete isolation.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["addresses_model"]

_REACH = 160
"""Characters around an anchor in which its sign is looked for."""
_MOST_ANCHORS = 50
"""Of one kind; a page that holds more of them is a strange one, and travels alone."""
_HIDDEN = (b"\xf3\xa0\x80", b"\xf3\xa0\x81")
"""How UTF-8 begins Unicode's tag characters: ASCII that nobody sees and a model reads."""

_ALL = r"(?:all|every|each|any|other|neighbou?ring|these|those)"
_MODEL = r"(?:ai|llm|language model|ai model|chatbot|ai assistant|ai agent|labell?er|tagger|classifier)s?"
_PAGES = r"(?:\w+ )?(?:pages?|documents?|entries|items)"
_GIVE = r"(?:give|assign|apply|add|set|use|attach|return|output|answer with)"
_LABEL = r"(?:labels?|tags?)"
_TO_MODEL = (
    rf"\b(?:dear|attention|note to|message (?:to|for)|instructions? (?:to|for)|(?:you are|you're)(?: now)?)"
    rf" (?:an? |the |any |all |you,? )*(?:\w+ )?{_MODEL}\b"
)
_LABEL_ALL = (
    rf"\b(?:label|tag|classify|mark) (?:the )?{_ALL} (?:of )?(?:the )?(?:other |following |previous )*{_PAGES}\b"
    rf"|\b{_GIVE}\b[^.!?]{{0,40}}\b{_LABEL}\b[^.!?]{{0,60}}\b{_ALL} {_PAGES}\b"
    rf"|\b{_GIVE}\b[^.!?]{{0,20}}\b{_ALL} {_PAGES}\b[^.!?]{{0,60}}\b{_LABEL}\b"
    rf"|\b(?:answer|respond|reply) (?:only |just )?with (?:only |just )?(?:the )?(?:following )?{_LABEL}\b"
    rf"|\b{_ALL} {_PAGES}\b[^.!?]{{0,40}}\b(?:must|should|shall|(?:are|is|have|has|need|needs) to)\b[^.!?]{{0,20}}"
    rf"\b(?:labell?ed|tagged|(?:get|have|carry|receive)\b[^.!?]{{0,20}}\b{_LABEL})\b"
    rf"|\b(?:correct|right|proper|only) {_LABEL} (?:for|of) (?:the )?{_ALL} {_PAGES}\b"
    rf"|[\"']{_LABEL}[\"'] ?: ?\["
)
_SIGNS = tuple(
    (anchors, re.compile(sign))
    for anchors, sign in (
        (
            ("ignore", "disregard", "forget", "overrid"),
            r"\b(?:ignore|disregard|forget|override)\b[^.!?]{0,40}"
            r"\b(?:instructions?|prompts?|rules|guidelines|everything (?:above|before))\b",
        ),
        (("prompt",), r"\bsystem prompt\b|\b(?:new|updated|revised|real|hidden|secret) prompt ?:"),
        (("instructions:",), r"\b(?:new|updated|revised|real|hidden|secret) (?:system )?instructions:"),
        (("llm", "language model", "chatbot", " ai", "labeler", "labeller", "tagger", "classifier"), _TO_MODEL),
        (("label", " tag"), _LABEL_ALL),
        (("<|", "inst]", "system>", "think>"), r"<\|\w+\|>|\[/?inst\]|</?(?:system|think)>"),
        (("anweisung",), r"\b(?:ignorier\w*|vergiss|vergessen sie)\b[^.!?]{0,40}anweisung"),
        (("ignorez", "ignora", "oubliez", "olvid"), r"\b(?:ignorez|ignora\w*|oubliez|olvid\w+)\b[^.!?]{0,40}instruc"),
    )
)
"""(what stands in every text that shows the sign, the sign itself). Most pages hold no anchor, and are done with."""


def addresses_model(title: str, text: str) -> bool:
    """Whether a page, as the model is shown it, looks as if it told the model what to do."""
    words = f" {title}\n{text}"  # a blank is before every word, for the anchors that begin with one
    if not words.isascii():
        if not unicodedata.is_normalized("NFKC", words):
            words = unicodedata.normalize("NFKC", words)  # full-width and mathematical letters
        encoded = words.encode("utf-8", "replace")
        if any(start in encoded for start in _HIDDEN):
            return True
        words = encoded.decode("ascii", "ignore")  # and without what is put between letters unseen
    words = words.lower().replace("\n", " ")
    return any(_is_around(anchor, sign, words) for anchors, sign in _SIGNS for anchor in anchors if anchor in words)


def _is_around(anchor: str, sign: re.Pattern[str], words: str) -> bool:
    """Whether the sign is seen near an anchor, however the lines are broken."""
    place = words.find(anchor)
    for _ in range(_MOST_ANCHORS):
        if place < 0:
            return False
        if sign.search(" ".join(words[max(0, place - _REACH) : place + _REACH].split())):
            return True
        place = words.find(anchor, place + len(anchor))
    return place >= 0
