"""Which option a statement chooses: by letter, by text, by number.

Each rule takes a Statement and the options, and gives the chosen letter, several letters ("A C": more than one was
named, which no single choice is), or None where it can't tell.
"""

import re
from collections.abc import Callable

from r2i.core.choices import LETTERS
from r2i.core.text import normalise, same_answer, strip_markup
from r2i.grading import NONE
from r2i.grading.equality import COMPARISONS
from r2i.grading.mathematics import same_mathematics
from r2i.grading.numbers import LONGEST as LONGEST_NUMBER
from r2i.grading.numbers import compare_numbers, read_quantity
from r2i.grading.phrases import may_deny, negates, polarity
from r2i.grading.statements import Statement, trim

LONGEST = 30  # words of a statement in which an option's text is looked for
_WORD = r"(?:the\s+)?(?:(?:correct|right|best|final)\s+)?(?:option|choice|answer|letter|选项|选)"
_BARE = re.compile(rf"\W*(?:{_WORD}\W*)?([A-Z])\W*(?:{_WORD}|项)?\W*", re.IGNORECASE)
_HEAD = re.compile(
    rf"[\"'(\[]*(?:{_WORD}\s*)?[(\[]?([A-Z])(?:[)\]]|[.:,、]|\s*[-–—=]\s|(?=[（(:]))[).:,]*\s*(\S.*)", re.I | re.S
)
_SPACED = re.compile(rf"(?:{_WORD}\s*)?\(?([A-Z])\)?\s+(\S.*)", re.DOTALL)
_NEXT = re.compile(r"[\s(]*(?:(?:and|or)\s+)?\(?([A-J])(?![A-Za-z0-9'’]|\s+[a-z])")
_LISTED = re.compile(r"(?<!\w)([A-J])[.):]\s")
_REASON = re.compile(r"(?:because|since|as|for|which|based|due|given|with|in)\b|因为", re.IGNORECASE)
_VERBS = (
    "is|was|because|since|as|and|or|but|matches|match|seems|looks|would|should|has|shows|with|fits|best|here|in the"
)
_BEFORE = r"(?i:not|not be|(?:isn|can|couldn)['’]t(?: be)?|neither|rather than|instead of|except|unlike|excluding)"
_BEFORE_CHINESE = r"(?:而不是|而非|不是|不选)"
_AFTER = (
    r"(?:\s(?:is|are|was|were|can be|seems?)\s+(?:not|wrong|incorrect|ruled|eliminated|excluded|false|less)"
    r"|\s(?:isn|aren|doesn|don)['’]t|\s(?:does|do|can) ?not|(?:选项)?(?:不对|错|不正确|不是))"
)


_LABEL = re.compile(
    r"(?:(?:option|choice|answer)\s+)?(?:[(\[]([A-Z])[)\]][.:]?|([A-Z])(?:[.):、]|\s*[-–—](?=\s)|,(?=\s))?)(?:\s*(\S.*))?",
    re.IGNORECASE | re.DOTALL,
)


def read_label(text: str) -> tuple[str, str]:
    """`(b)`, `B.`, `**B**`, `Option B`, `B. blue`, `B - blue`: the letter, and the text after it; ("", "") for others.

    A word that only begins with a letter is none, and of "A blue one" nobody can say without the options.
    """
    found = _LABEL.fullmatch(strip_markup(text))
    if not found:
        return "", ""
    letter, rest = (found[1] or found[2]).upper(), found[3] or ""
    bare = rest and found[2] and not found.string[found.end(2) : found.start(3)].strip()
    return ("", "") if bare and rest[0] != "(" else (letter, _unwrap(rest))


def _unwrap(text: str) -> str:
    """ "(blue)" -> "blue"."""
    return text[1:-1] if text[:1] == "(" and text[-1:] == ")" and text.count("(") == 1 else text


def name_option(text: str, options: list[str]) -> tuple[str, str]:
    """The rule and the letter of the one option that a short answer names, by its letter, its text, or both.

    Two letters ("A B") where the letter and the text name two options. ("none", "") where it is not certain: no option,
    several of them, a bound, a letter that may be the word "a". A text that is one whole option goes before the letter
    that it may begin with: "B. Baker". A lone letter is a letter, whatever the options' texts are.
    """
    letters = LETTERS[: len(options)]
    letter, rest = read_label(text)
    if letter in letters and letter and not rest:
        return "letter", letter
    whole = _equal(text, options)
    if len(whole) == 1 and not _may_be_label(text, whole[0], options):
        return "option_text", whole[0]
    if letter and letter in letters:
        named = _equal(rest, options)
        if letter in named:
            return "letter", letter
        return ("letter", " ".join(sorted({letter, named[0]}))) if len(named) == 1 else (NONE, "")
    if letter or whole:
        return NONE, ""
    for rule, compare in COMPARISONS[1:]:
        same = [name for name, option in zip(letters, options, strict=False) if compare(text, option) is True]
        if same:
            return (rule if rule != "yes_no" else "option_text", same[0]) if len(same) == 1 else (NONE, "")
    return NONE, ""


def _may_be_label(text: str, named: str, options: list[str]) -> bool:
    """Whether "A blue", which equals the option "blue" of another letter, may speak of option A."""
    word, _, rest = strip_markup(text).partition(" ")
    letters = LETTERS[: len(options)]
    if len(word) != 1 or not word.isupper() or word not in letters or word == named:
        return False
    option = options[letters.index(named)]
    return _exact(rest, option) and not _exact(text, option)


def _exact(a: str, b: str) -> bool:
    return strip_markup(a).casefold() == strip_markup(b).casefold()


def compare_number_of(statement: Statement, text: str) -> bool | None:
    """As compare_numbers, of what a statement that is whole says, or predicates where its subject is a name."""
    if not statement.finished:
        return None
    verdict = compare_numbers(statement.core, text)
    amount = read_quantity(statement.core)
    if verdict is None and amount and not amount.is_plain and not negates(statement.text):
        verdict = compare_numbers(statement.predicate, text)
    return None if verdict is False and len(statement.core.split()) > LONGEST_NUMBER else verdict


def stated_letter(statement: Statement, options: list[str]) -> str | None:
    """The letter of a statement that is a letter, or starts with one: "B", "(b)", "B) red", "Option B, because ...".

    A letter beyond the options is a wrong choice. A letter followed by just the text of another option names two.
    """
    whole = trim(statement.text)
    if len(whole) > 1 and len(_equal(whole, options)) == 1 and any(_exact(whole, option) for option in options):
        return None  # "Platform A", "B. Baker": a whole option, that seems to hold a letter
    for text in dict.fromkeys((whole, statement.core)):
        if match := _BARE.fullmatch(text):
            letter = match.group(1).upper()
            spoken = letter not in _letters(options) or re.search(r"letter|字母", text, re.IGNORECASE)
            return None if spoken and _equal(letter, options) not in ([], [letter]) else letter  # another option's text
        if len(listed := sorted(set(_LISTED.findall(text)) & set(_letters(options)))) > 2:
            return " ".join(listed)
        if (match := _HEAD.fullmatch(text)) and (letter := match.group(1).upper()) in _letters(options):
            return _with_next(letter, match, options)
        if (match := _SPACED.fullmatch(text)) and (letter := match.group(1)) in _letters(options):
            named = _equal(match.group(2), options)
            if named == [letter] or (len(named) == 1 and letter not in "AI") or _REASON.match(match.group(2)):
                return _with_text(letter, match.group(2), options)
    return None


def equal_option(statement: Statement, options: list[str]) -> str | None:
    """The only option whose text, normalised, the statement or what it predicates is; or its yes or no."""
    for text in _readings(statement):
        named = _equal(text, options)
        if len(named) == 1 and _may_be_label(text, named[0], options):
            return None
        if len(named) == 1 and not (text != statement.text and not negates(text) and may_deny(statement.text, text)):
            return named[0]
    said = polarity(statement.core) or polarity(statement.text)
    return _only(options, lambda option: said is not None and polarity(option, whole=True) == said)


def equal_number(statement: Statement, options: list[str]) -> str | None:
    """The only option with the statement's number ("There are five people", "5")."""
    if negates(statement.text):
        return None
    return _only(options, lambda option: compare_number_of(statement, option))


def equal_mathematics(statement: Statement, options: list[str]) -> str | None:
    """The only option that is equal to the statement in mathematics; none where it denies something."""
    if negates(statement.text):
        return None
    return _only(options, lambda option: same_mathematics(statement.predicate, option))


def mentioned_letter(statement: Statement, options: list[str]) -> str | None:
    """The letters that a sentence names and doesn't deny: "It must be option B, not C." Several are several.

    Nothing where the letter is also another option's text ("the sign shows a B"): either may be meant. Nothing
    where a last sentence has no end, or where only denied letters are named.
    """
    if not statement.finished or len(statement.text.split()) > 2 * LONGEST:
        return None
    pattern = _mention(_letters(options))
    text = _drop_denied(statement.text, _letters(options))
    letters = sorted({match.group(match.lastindex or 0).upper() for match in pattern.finditer(text)})
    texts = {normalise(option) for option in options}
    if not letters or any(letter.lower() in texts for letter in letters):
        return None
    if negates(text):
        return None
    if len(letters) > 1:
        return " ".join(letters)
    left = re.sub(pattern, " ", text, count=1)
    return _with_text(letters[0], left, options)


def mentioned_option(statement: Statement, options: list[str]) -> str | None:
    """The only option whose text stands in what a short sentence says: "The car is parked on the left side".

    Several, where nothing else is said ("red and blue"), are several. None in a sentence that denies something.
    """
    if not statement.finished or negates(statement.text) or len(statement.text.split()) > LONGEST:
        return None
    whole = _equal(statement.core, options)
    if may_deny(statement.text, *options) or (len(whole) == 1 and _may_be_label(statement.core, whole[0], options)):
        return None
    form = f" {_spaced(statement.predicate)} "
    named = []
    amount = read_quantity(statement.core)
    counted = amount is not None and amount.is_plain  # else a number in it is bounded, one of several, or in a name
    for letter, option in sorted(zip(LETTERS, options, strict=False), key=lambda pair: -len(pair[1])):
        words = f" {_spaced(option)} "
        if len(words) > 3 - words.strip().isdigit() and words in form:
            named.append(letter)
            form = form.replace(words, " | ")
    if len(named) == 1:
        number = _spaced(options[LETTERS.index(named[0])]).isdigit()
        return named[0] if counted or not number else None
    bare = not re.sub(r"[|,和或与、及 ]|\b(?:and|or|both|either)\b", "", form)
    return " ".join(sorted(named)) if named and bare else None


def _drop_denied(text: str, letters: str) -> str:
    """`text` without the letters that it denies: "not A", "B rather than A or C", "A is wrong"."""
    one = rf"(?:(?i:option)\s*)?\(?[{letters}]\)?"
    several = rf"{one}(?:\s*(?:,|or|and|nor|和|或|、)+\s*{one})*"
    return re.sub(
        rf"(?<!\w){_BEFORE}\s+{several}(?!\w)|{_BEFORE_CHINESE}\s*{several}|(?<!\w){several}\s*{_AFTER}", " ", text
    )


def _letters(options: list[str]) -> str:
    return LETTERS[: len(options)]


def _readings(statement: Statement) -> list[str]:
    return list(dict.fromkeys((trim(statement.text), statement.core, statement.predicate)))


def _equal(text: str, options: list[str]) -> list[str]:
    return [letter for letter, option in zip(LETTERS, options, strict=False) if same_answer(trim(text), trim(option))]


def _with_text(letter: str, text: str, options: list[str]) -> str:
    """`letter`, or both letters where `text` is just the text of another option."""
    named = _equal(re.split(r"[.!;。]\s|\n", text)[0], options)
    return letter if not named or letter in named else " ".join(sorted({letter, *named}))


def _with_next(letter: str, head: re.Match[str], options: list[str]) -> str:
    """As _with_text; and "B, C" or "B and C" in place of a text are both."""
    follows = _NEXT.match(_drop_denied(head.group(2), _letters(options)))
    if follows and head.string[head.end(1)] in ",、-–—" and follows.group(1) in _letters(options):
        return " ".join(sorted({letter, follows.group(1)}))
    return _with_text(letter, head.group(2), options)


def _only(options: list[str], same: Callable[[str], bool | None]) -> str | None:
    found = [letter for letter, option in zip(LETTERS, options, strict=False) if same(option)]
    return found[0] if len(found) == 1 else None


def _mention(letters: str) -> re.Pattern[str]:
    """A letter in prose. A bare "A" or "I" counts where it can't be an article or a pronoun."""
    end = r"(?![A-Za-z0-9'’_-])"
    firm = letters.translate({ord(letter): None for letter in "AI"})
    parts = [
        rf"\(([{letters}{letters.lower()}])\)",
        rf"(?i:\boption|\bchoice|\bletter|\banswer|选项|选)\s*[\"'(]?([{letters}{letters.lower()}]){end}",
        rf"(?<![A-Za-z0-9'’_.-])([{firm}]){end}" if firm else "",
        rf"(?<![A-Za-z0-9'’_.-])(A)(?=\s+(?:{_VERBS})\b|\s*[.,;:!&/+)\"、。]|\s*$|[\u3400-\u9fff])",
    ]
    return re.compile("|".join(part for part in parts if part))


def _spaced(text: str) -> str:
    """Normalised, with every Chinese character a word of its own."""
    form = re.sub(r"([\u3400-\u9fff])", r" \1 ", normalise(trim(text)))
    return " ".join(re.sub(r"[,。、]", " ", form).split())
