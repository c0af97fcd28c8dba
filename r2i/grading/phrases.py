"""The phrases, English and Chinese, by which a reply gives its answer, denies one, or says that it has none."""

import re

_I = re.IGNORECASE

_BE = r"(?:is|was|are|be|would be|will be|should be|must be|has to be|seems to be|appears to be|(?:could|may|might) be)"
_GOOD = r"(?:final|correct|right|best|most likely|most appropriate|most accurate|proper)"

# what follows the match is the answer
MARK = re.compile(
    rf"""
    (?: \b(?:{_GOOD}\s+)*answer(?:\s+choice|\s+option)?
        (?:\s+(?:to|for)\s+(?:the|this|that|your)\s+\w+|\s+here|\s+therefore|\s+then)? \s*(?:\s{_BE}\b\s*:?|:|=>|->|→)
      | \b{_GOOD}\s+(?:option|choice|one|letter)(?:\s+here)? \s*(?:\s{_BE}\b\s*:?|:)
      | \b(?:I|we)(?:'d|'ll|\s+would|\s+will|\s+should|\s+must|\s+have\s+to|\s+therefore|\s+thus)*\s+
        (?:choose|select|pick|go\s+with|opt\s+for|settle\s+on|answer|conclude(?:\s+that)?(?:\s+it\s+is)?)\b
      | "answer"\s*:
      | \banswer\s+(?=\(?(?-i:[A-J])\b)
      | (?:答案|(?:正确|最佳)的?选项)\s*(?:应该|应当|应)?\s*(?:是|为|选|:)
      | 选择?(?:选项)?\s*(?=[(\[]?(?-i:[A-J])(?![A-Za-z]))
    )
    (?!\s*(?:not\b|n't|不是))
    \s*
    """,
    re.VERBOSE | _I,
)
# what follows it, in the last sentence, is what the reasoning came to
CONNECTOR = re.compile(
    r"(?:^|[,;:.]\s*)(?:and\s+)?(?:(?:so|thus|hence|therefore|consequently|in conclusion|overall|finally|conclusion)\b"
    r"\s*[,:]?"
    r"|(?:所以|因此|综上(?:所述)?|故)\s*,?)\s*",
    _I,
)
LIKELIEST = re.compile(r"^.*[,;:.]\s(?:most likely|more likely|probably)\s+", _I)  # "B or D, most likely D"
# the match's group is the answer
ENDORSED = re.compile(
    r"(?<![A-Za-z0-9])(?:option\s+|choice\s+|answer\s+|选项)?\(?([A-J])\)?(?:选项)?"
    r"(?:[.:)]?\s(?:(?!(?<![A-Za-z])[A-J](?![A-Za-z])|\bnot\b|n['’]t)[^.!?。]){0,80}?)??\s*"
    r"(?:\s(?:is|would\s+be|seems|looks|must\s+be)\s+(?:the\s+)?(?:correct|right|best|(?:more|most)\s+likely|true)\b"
    r"|是?正确|是对的)"
)
ENDORSED_TEXT = re.compile(
    rf"^(.{{1,80}}?)\s+(?:is|would be|must be)\s+(?:the|my)\s+(?:{_GOOD}\s+)?(?:answer|choice|option)\b", _I
)
CORRECTED = re.compile(r"^.*,\s*(?:no|sorry|or rather|i mean),\s+", _I)  # "A, no, B"
CONTRAST = re.compile(
    r"(?<=[^\s,;])(?:,\s*(?:and\s+)?not|,?\s+rather\s+than|,?\s+instead\s+of)\s[^,;]*$", _I
)  # "blue, not red"
WITHDRAWN = re.compile(
    r"\b(?:wait|actually|hmm+|on second thought|correction|scratch that|let me (?:re|double|look|check)|i was wrong"
    r"|i made a mistake|looking again)\b|(?:^|[?.!]\s)no[,.]|不对|等等|更正|重新看|再看",
    _I | re.MULTILINE,
)
LEAD = re.compile(
    r"^(?:(?:so|thus|hence|therefore|well|ok|okay|sure|it|this|that|i|we|think|believe|guess|would|say|probably|likely|"
    r"definitely|clearly|most likely|is|it's|that's|must be|has to be|appears to be|seems to be|looks like|"
    r"based on the image|in the image|from the image|"
    r"应该|应当|大概|可能|我认为|图中|图片中|它|这)(?![\w'])[\s,:]*|(?:it's|that's|(?:应该|我认为)?(?:是|为|选))[\s,:]*)+",
    _I,
)
NEGATED = re.compile(
    r"\b(?:not|never|no|neither|nor|cannot|without|don't|unlikely|hardly|scarcely|lacks?|lacking|anything but|far from"
    r"|fails? to|false|wrong|incorrect|ruled? out|(?:all|everything|nothing) but|except|excluding|excluded|other than"
    r"|apart from|almost|nearly)\b|n['’]t\b|不|没|无|非|别的"
    r"|\b(?:nicht|kein\w*|nie|ohne|weder|ne|pas|aucune?|jamais|sans|ning[uú]n\w*|nunca|sin|tampoco|non|senza|não|nem|sem"
    r"|nenhum\w*|niet|geen|değil|yok|không|tidak|bukan|inte|ingen)\b|\bn['’]"
    r"|\b(?:не|ни|нет|без)\b|\b(?:لا|ليس|ليست|لم|لن|غير|بدون)\b|नहीं|ない|なし|ません|ではなく|じゃな|아니|않|없",
    _I,
)
_UNREAD = re.compile(r"[^\W\d_]")  # letters; those of scripts whose sentences are read are taken out before
_READ_SCRIPTS = re.compile(r"[A-Za-z\u00c0-\u024f\u3400-\u9fff]")

_NO_OPTION = r"none of (?:these|those|the|them)|neither of|no (?:correct |right |valid |such )?(?:option|answer|choice)"
DECLINED = re.compile(
    r"\b(?:" + _NO_OPTION + r"|all of (?:these|the above|them)"
    r"|(?:can(?:no|')t|can not|could(?:n't| not)|unable to|not able to|impossible to|not possible to)\s+"
    r"(?:\w+ly\s+)?(?:be\s+)?"
    r"(?:determine|see|answer|tell|provide|identif|say|read|assist|help|discern|know|make out|view|comply|confirm)\w*"
    r"|(?:do not|don't) know|not sure|as an ai|(?:i am|i'm) sorry|i apologi[sz]e"
    r"|(?:is|are) not (?:clearly )?(?:visible|legible|shown|clear|discernible|present in)|not (?:visible|legible)"
    r"|(?:does not|doesn't) (?:show|provide|contain|specify|include)|insufficient information|not enough information"
    r"|unknown|unanswerable|n/a|none(?=\W*$))(?!\w)"
    r"|无法|不能确定|不确定|不知道|看不清|抱歉|对不起|以上都不|都不对|都不是|没有正确|^不清楚",
    _I,
)


_UNSAID = re.compile(r"(?:无法|不能|难以)(?:确定|判断|看清|辨认|回答|识别)|未知|不清楚|不明")
_NOTHING = re.compile(r"(?:0|zero)\b|(?:no|none|nothing|nobody|nowhere|empty|without|absent)\b|没有|无|空|零", _I)


def negates(text: str) -> bool:
    """Whether `text` holds a word of negation: then what it names may be what it denies."""
    return bool(NEGATED.search(text))


def may_deny(text: str, *said: str) -> bool:
    """Whether `text` may deny what of it is `said`: it negates, or its other words are in a script that is not read."""
    rest = text.casefold()
    for part in said:
        if part.strip():
            rest = rest.replace(part.strip().casefold(), " ")
    return negates(text) or has_unread_script(rest)


def has_unread_script(text: str) -> bool:
    """Whether letters of `text` are neither Latin nor Chinese: no rule reads a sentence in them."""
    return bool(_UNREAD.search(_READ_SCRIPTS.sub(" ", text)))


def is_stand_in(text: str) -> bool:
    """Whether a short answer says only that there is none: "It cannot be determined", "not visible", 无法确定."""
    said = LEAD.sub("", text.strip(" .!。"))
    return bool(DECLINED.fullmatch(said) or _UNSAID.fullmatch(said))


def means_nothing(text: str) -> bool:
    """Whether an answer says that there is nothing: "0", "no shape", "nothing", 没有; then "None" may mean it."""
    return bool(_NOTHING.match(text.strip()))


def declines(text: str) -> bool:
    """Whether `text` says that it can't tell, or that none (or all) of the options is right."""
    return bool(DECLINED.search(text))


_POLAR = {
    "yes": ("yes", "yeah", "yep", "是", "是的", "有", "有的", "对", "对的"),
    "no": ("no", "nope", "不", "不是", "否", "没有"),
    "true": ("true",),
    "false": ("false",),
}
_WORDS = {word: pole for pole, words in _POLAR.items() for word in words}
_FIRST = re.compile(rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?=\s*(?:[,.;:!。、-]|$))", _I)


def polarity(text: str, whole: bool = False) -> str | None:
    """yes, no, true or false, as `text` begins with it (`whole`: is nothing else); None for other texts."""
    match = _FIRST.match(text.strip())
    if match is None or (whole and text.strip().rstrip(".。!") != match[1]):
        return None
    return _WORDS[match[1].lower()]
