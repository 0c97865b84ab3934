"""From words to steps. Nothing is guessed: what is not understood is said, with the form that would be."""

from __future__ import annotations

import re
from collections.abc import Callable

from .quotes import QUOTED, Request, read
from .steps import Append, Create, Delete, Help, ListFiles, Prepend, Rename, Replace, Run, Show, Step, Wait

MAX_TEXT = 200_000
MAX_STEPS = 50
MAX_PIECE = 2_000  # characters of one step outside of quotes
MAX_WAIT_SECONDS = 600.0

_VERBS = (
    "replace|change|substitute|swap|update|append|add|insert|prepend|create|touch|write|put|delete|remove|erase|rm|"
    "rename|move|mv|run|execute|wait|sleep|pause|list|ls|show|cat|print|display"
)
_STRONG = re.compile(
    r"\s*[,;.]?\s*(?:\band\s+)?\bthen\b[,:]?\s*|\s*[;\n]\s*(?:(?:[-*•]|\d+[.)])\s+)?(?=\S)", re.IGNORECASE
)
_WEAK = re.compile(
    rf"(?:\s*,\s*(?:and\s+)?|\s+and\s+|[.!]\s+)(?:(?:also|please|finally|lastly|next|now)\b,?\s+)*(?=(?:{_VERBS})\b)",
    re.IGNORECASE,
)
_IS_RUN = re.compile(r"(?:run|execute|exec)\b|\$\s", re.IGNORECASE)
_POLITE = re.compile(
    r"\A(?:(?:hi|hello|hey)(?:\s+there)?(?=[\s,!.])|(?:please|pls|kindly|also|now|and|first|next|finally|lastly)\b"
    r"|(?:can|could|would|will)\s+you\b|i\s+(?:want|would\s+like)\s+(?:you\s+)?to\b|i'd\s+like\s+(?:you\s+)?to\b"
    r"|(?:[-*•]|\d+[.)])\s|[\s,:!.])+(?=\S)",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\srepo(?:sitory)?=\S+", re.IGNORECASE)  # said to the bot, not to us
_THANKS_AFTER_RUN = re.compile(
    r"(?:[\s,.!?]*\s(?:please|pls|thanks|thank\s+you|thx)[.!]*)*(?:(?<=[\w\ue001])\.)?\s*$", re.IGNORECASE
)
_PLACE = re.compile(rf"(?:in|to|from|at\s.+\sof)\s+(?:the\s+)?(?:file\s+)?(?:{QUOTED}|\S+)", re.IGNORECASE)
_UNCLOSED = re.compile('["“„«`]')
_SPACES = re.compile(r"\s{9,}")  # long runs of them would make the expressions here slow
_THANKS = re.compile(r"(?:[\s,.!?]*\b(?:please|pls|thanks|thank\s+you|thx))*[\s,.!?:;]*$", re.IGNORECASE)


class NotUnderstood(Exception):
    """`piece` is what was asked in the person's words, `hint` the form that would be understood."""

    def __init__(self, piece: str, hint: str) -> None:
        super().__init__(piece)
        self.piece = piece
        self.hint = hint


def understand(text: str) -> list[Step]:
    """The steps a request asks for, in order. Raises NotUnderstood at the first that is not clear."""
    if len(text) > MAX_TEXT:
        raise NotUnderstood(text[:80], f"Keep a request below {MAX_TEXT} characters.")
    request = read(text)
    pieces = _pieces(_POLITE.sub("", _SPACES.sub(_shorter, request.skeleton), count=1))
    if len(pieces) > MAX_STEPS:
        raise NotUnderstood(request.plain(pieces[0]), f"Ask for {MAX_STEPS} steps at most.")
    steps = [_step(piece, request) for piece in pieces]
    return steps if steps else [Help()]


def _shorter(spaces: re.Match[str]) -> str:
    return "\n" if "\n" in spaces[0] else " " * 8


# -- cutting a request into pieces ---------------------------------------------------------------


def _pieces(skeleton: str) -> list[str]:
    pieces: list[str] = []
    glue = ""
    for piece, separator in _cut(skeleton, _STRONG):
        if pieces and _continues(pieces[-1], piece, glue):
            pieces[-1] += glue + piece
        else:
            pieces.append(piece)
        glue = separator
    return [part for piece in pieces for part in _weakly(piece.strip()) if _bare(part)]


def _cut(text: str, separator: re.Pattern[str]) -> list[tuple[str, str]]:
    """Pieces, each with the separator behind it."""
    pieces: list[tuple[str, str]] = []
    at = 0
    for match in separator.finditer(text):
        pieces.append((text[at : match.start()], match[0]))
        at = match.end()
    return [*pieces, (text[at:], "")]


def _continues(before: str, piece: str, glue: str) -> bool:
    """No step begins with a quoted part, and `run cd web; make` is one command: `make` is no word of ours."""
    if "then" in glue.lower():
        return False
    is_new = re.match(rf"(?:{_VERBS})\b", _bare(piece), re.IGNORECASE)
    return bool(re.match(QUOTED, piece) or (_IS_RUN.match(_bare(before)) and not is_new))


def _weakly(piece: str) -> list[str]:
    """Cut at commas and "and" before a word we know, but never within a command, nor in "in x, replace …"."""
    if _IS_RUN.match(_bare(piece)):
        return [piece]
    for match in _WEAK.finditer(piece):
        if not _PLACE.fullmatch(_bare(piece[: match.start()])):
            return [piece[: match.start()], *_weakly(piece[match.end() :])]
    return [piece]


def _bare(piece: str) -> str:
    """Without courtesies around it; a full stop may well belong to a command."""
    match = _POLITE.match(piece)
    text = piece[match.end() :] if match else piece.strip()
    if _IS_RUN.match(text):
        return _THANKS_AFTER_RUN.sub("", text)
    return _THANKS.sub("", _CHOICE.sub("", text))


# -- one piece -----------------------------------------------------------------------------------

_A = r"(?:(?:the|a|an|my|our|this)\s+)?"
_NOUN = (
    r"(?:(?:new|empty|whole)\s+)*(?:(?:text\s+)?(?:file|folder|directory|dir)\s+)?(?:(?:called|named|at)\s+)?"
)
_WORD = rf"(?:{QUOTED}|[^\s\ue000\ue001]+?)"
_PATH = rf"{_A}{_NOUN}(?P<path>{_WORD})(?:\s+(?:file|folder|directory))?"
_TEXT = (
    r"(?:(?:the|a|an|one|this|these)\s+)?(?:(?:new|extra|another|following)\s+)*"
    r"(?:(?:lines?|text|paragraph|sentence|words?|comment|heading|title|entry|section|block)\s*)?"
    r"(?:(?:saying|says|that\s+says|that\s+reads|reading|with|containing)\s+)?(?:the\s+text\s+)?:?\s*"
    rf"(?P<text>{QUOTED})"
)
_EVERYWHERE = (
    r"(?:in\s+)?(?:everywhere|(?:all|every|each)\s+(?:of\s+)?(?:the\s+)?(?:(?:tracked|text)\s+)*files?"
    r"|(?:the|this)\s+(?:whole\s+|entire\s+)?(?:repo|repository|project|code\s?base))"
)
_SCOPE = rf"(?:(?P<everywhere>{_EVERYWHERE})|(?:in|inside|within|of|from|out\s+of)\s+{_PATH})"
_EACH = r"(?:(?:all|every|each|any)\s+)?(?:(?:occurrences?|instances?)\s+)?(?:of\s+)?"
_THING = r"(?:the\s+)?(?:(?:word|words|text|string|phrase|title|heading|value|name|line|colou?r)\s+)?"
_TOP = r"the\s+(?:very\s+)?(?:top|beginning|start|head)\s+of"
_END = r"the\s+(?:very\s+)?(?:end|bottom)\s+of"

Build = Callable[["re.Match[str]", Request], "Step | None"]


def _replace(match: re.Match[str], request: Request) -> Step | None:
    path = _optional(match, request, "path")
    old, new = match["old"], match["new"]
    if any(re.search(QUOTED, part) and not re.fullmatch(QUOTED, part) for part in (old, new)):
        return None  # two requests in one: "a" to "b" in x and "c" to "d" in y
    if path is None and not (re.fullmatch(QUOTED, old) and re.fullmatch(QUOTED, new)):
        return None  # in every file, only what was quoted: "change the header to blue" is for a model
    return Replace(request.value(old), request.value(new), path)


def _remove(match: re.Match[str], request: Request) -> Step:
    return Replace(request.value(match["old"]), "", _optional(match, request, "path"), bool(match["line"]))


def _create(match: re.Match[str], request: Request) -> Step | None:
    text = _optional(match, request, "text")
    path = request.value(match["path"])
    is_clear = text is not None or re.search(r"\bfile\b", match[0], re.IGNORECASE)
    if not is_clear and not (match["verb"].lower() in ("create", "touch") and re.search(r"[./]", path)):
        return None  # "create a button", "make test"
    return Create(path, text if text is not None else "")


def _run(match: re.Match[str], request: Request) -> Step | None:
    command = match["command"].strip()
    if re.fullmatch(
        r"(?:(?:the|all|all\s+the)\s+)?(?:unit\s+)?(?:tests?|test\s+suite|it|them)", command, re.IGNORECASE
    ):
        return None
    return Run(request.value(command).strip())


def _wait(match: re.Match[str], request: Request) -> Step | None:
    unit = (match["unit"] or "s").lower()
    factor = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("m") else 1.0
    number = 1.0 if match["number"].lower() in ("a", "an", "one") else float(match["number"])
    return Wait(number * factor) if number * factor <= MAX_WAIT_SECONDS else None


def _optional(match: re.Match[str], request: Request, name: str) -> str | None:
    found = match.groupdict().get(name)
    return None if found is None else request.value(found)


def _with_text(step: Callable[[str, str], Step]) -> Build:
    return lambda match, request: step(request.value(match["path"]), request.value(match["text"]))


def _forms() -> list[tuple[re.Pattern[str], Build]]:
    """In the order in which they are tried."""
    old_new = rf"(?P<old>{QUOTED}|\S.*?)\s+(?:with|by|to|into|for|=>|->|→)\s+(?P<new>{QUOTED}|\S.*?)"
    verb = r"(?:replace|substitute|swap|change|update)"
    unit = r"(?P<unit>ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?)"
    forms: list[tuple[str, Build]] = [
        (rf"{verb}\s+{_EACH}{_THING}(?:from\s+)?{old_new}(?:\s+{_SCOPE})?", _replace),
        (rf"{verb}\s+in\s+{_PATH}[,:]?\s+{_EACH}{_THING}(?:from\s+)?{old_new}", _replace),
        (rf"rename\s+{_EACH}{_THING}{old_new}\s+{_SCOPE}", _replace),
        (rf"prepend\s+{_TEXT}\s+(?:to|in|into)\s+(?:{_TOP}\s+)?{_PATH}", _with_text(Prepend)),
        (rf"prepend\s+to\s+{_PATH}[:,]?\s+{_TEXT}", _with_text(Prepend)),
        (
            rf"(?:add|insert|put|write)\s+{_TEXT}\s+(?:to|at|on|in|into)\s+{_TOP}\s+{_PATH}",
            _with_text(Prepend),
        ),
        (
            rf"(?:append|add|insert|put)\s+{_TEXT}\s+(?:to|into|onto|in|at|on)\s+(?:{_END}\s+)?{_PATH}",
            _with_text(Append),
        ),
        (rf"(?:append|add)\s+to\s+(?:{_END}\s+)?{_PATH}[:,]?\s+{_TEXT}", _with_text(Append)),
        (rf"write\s+{_TEXT}\s+(?:to|into|in)\s+{_PATH}", _with_text(Create)),
        (
            rf"(?P<verb>create|touch|make|add|write)\s+{_PATH}"
            rf"(?:\s*[:,]?\s*(?:(?:and|which|that)\s+)?(?:with|containing|contains|saying|says)?\s*"
            rf"(?:the\s+)?(?:contents?|text|body)?\s*:?\s*(?P<text>{QUOTED}))?",
            _create,
        ),
        (
            rf"(?:delete|remove|erase)\s+{_EACH}(?P<line>(?:the\s+)?lines?\s+(?:with|containing|saying|that\s+says)?\s*)?"
            rf"{_THING}(?P<old>{QUOTED})\s+{_SCOPE}",
            _remove,
        ),
        (
            rf"(?:delete|remove|erase|rm)\s+{_PATH}",
            lambda match, request: Delete(request.value(match["path"])),
        ),
        (
            rf"(?:rename|move|mv)\s+{_A}{_NOUN}(?P<old>{_WORD})\s+(?:to|into|as|->|→|=>)\s+{_A}{_NOUN}(?P<new>{_WORD})",
            lambda match, request: Rename(request.value(match["old"]), request.value(match["new"])),
        ),
        (
            r"(?:(?:run|execute|exec)\b|\$)\s*(?:the\s+(?=(?:shell\s+)?command))?(?:(?:shell\s+)?command\b)?\s*:?\s*(?P<command>\S.*)",
            _run,
        ),
        (rf"(?:wait|sleep|pause)(?:\s+for)?\s+(?P<number>\d+(?:\.\d+)?|an?|one)\s*{unit}?", _wait),
        (
            rf"(?:list|show|ls)(?:\s+me)?(?:\s+all)?(?:\s+(?:of\s+)?the)?(?:\s+tracked)?\s+files(?:\s+(?:in|of|under)\s+{_PATH})?",
            lambda match, request: ListFiles(_optional(match, request, "path")),
        ),
        (rf"(?:ls|list)(?:\s+{_PATH})?", lambda match, request: ListFiles(_optional(match, request, "path"))),
        (
            rf"(?:show|cat|print|display|read|open)(?:\s+me)?\s+(?:the\s+contents?\s+of\s+)?{_PATH}",
            lambda match, request: Show(request.value(match["path"])),
        ),
        (
            # After its "hello", "hello Threadsmith" is but a name.
            r"(?:/?help|hi|hello|hey|there|all|threadsmith|good\s+(?:morning|afternoon|evening)|who\s+are\s+you|how\s+does\s+(?:this|it)\s+work"
            r"|how\s+do(?:es)?\s+(?:i|you|one)\s+(?:use\s+(?:you|this|it)|work)"
            r"|what\s+(?:all\s+)?(?:can|could)\s+(?:you\s+do|i\s+(?:ask|say|do|write))|what\s+(?:do\s+you\s+(?:do|understand|know)|are\s+you))"
            r"(?:\s+(?:me|there|all|threadsmith|for\s+me|here|now|you(?:\s+for)?))*",
            lambda *_: Help(),
        ),
    ]
    return [(re.compile(pattern, re.IGNORECASE | re.DOTALL), build) for pattern, build in forms]


_FORMS = _forms()
_PLACE_FIRST = re.compile(
    rf"(?P<word>in|to|from|at\s+{_END}|at\s+{_TOP})\s+{_PATH}[,:]?\s+(?P<rest>(?:{_VERBS})\b.*)",
    re.IGNORECASE | re.DOTALL,
)


def _step(piece: str, request: Request) -> Step:
    text = _turned(_bare(piece))
    step = None if _is_hopeless(text) else _first_that_fits(text, request)
    if step is None:
        raise NotUnderstood(request.plain(piece.strip()), _hint(text))
    return step


def _first_that_fits(text: str, request: Request) -> Step | None:
    for form, build in _FORMS:
        match = form.fullmatch(text)
        step = build(match, request) if match else None
        if step is not None:
            return step
    return None


def _is_hopeless(text: str) -> bool:
    """With an unclosed quotation mark we would do something else than was meant; a command may hold any."""
    return not _IS_RUN.match(text) and (len(text) > MAX_PIECE or bool(_UNCLOSED.search(text)))


def _turned(text: str) -> str:
    """ "in x, replace a with b" -> "replace a with b in x"."""
    match = _PLACE_FIRST.fullmatch(text)
    if match is None:
        return text
    return f"{match['rest']} {match['word']} {match['path']}"


HINTS = {  # as Markdown; what stands in code formatting is understood as it is
    "replace": '`replace "A" with "B" in path/to/file`',
    "append": '`append "text" to path/to/file`',
    "create": '`create path/to/file with "text"`',
    "delete": "`delete path/to/file`",
    "rename": "`rename path/old to path/new`",
    "run": "`run npm test`",
    "wait": f"`wait 10 seconds` ({MAX_WAIT_SECONDS:g} at most)",
    "show": "`show path/to/file`",
    "list": "`list files`",
}
_SAME = {
    "replace": "change substitute swap update fix",
    "append": "add insert prepend put",
    "create": "make write touch new",
    "delete": "remove erase rm drop",
    "rename": "move mv",
    "run": "execute exec test start",
    "wait": "sleep pause",
    "show": "cat print display read open",
    "list": "ls",
}
_VERB_OF = {word: verb for verb, words in _SAME.items() for word in (verb, *words.split())}
# Said about anything ("make the header say Hello"), these mean a form only beside what that form needs.
_LOOSE = re.compile(r"fix|make|new|put|write|drop|move|start|test|print|display|read|open")
_NEEDED = re.compile(rf"{QUOTED}|\w[./]\w|\bfiles?\b", re.IGNORECASE)


def _hint(text: str) -> str:
    first = re.match(r"[a-z]+", text, re.IGNORECASE)
    word = first[0].lower() if first else ""
    verb = None if _LOOSE.fullmatch(word) and not _NEEDED.search(text) else _VERB_OF.get(word)
    form = f"I need it as: {HINTS[verb]}" if verb else ""
    unclosed = "A quotation mark in it is not closed." if _UNCLOSED.search(text) else ""
    long = (
        f"Put texts in quotes; without them {MAX_PIECE} characters is the most."
        if len(text) > MAX_PIECE
        else ""
    )
    return " ".join(part for part in (form, unclosed, long) if part)
