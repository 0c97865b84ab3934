"""What the scripted agent can be asked to do: one small record a step."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 40  # characters of a quoted text in a title


def short(text: str, limit: int = SHOWN) -> str:
    """A text on one line, cut to `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


@dataclass(frozen=True)
class Step:
    """`title` says it in the imperative; `kind` is ACP's word for it; `changes`: whether files change."""

    kind = "other"
    changes = False

    @property
    def title(self) -> str:
        return type(self).__name__

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths it names."""
        return ()


@dataclass(frozen=True)
class Replace(Step):
    """`path` None: in every text file. `whole_line`: remove the lines that say `old`."""

    old: str
    new: str
    path: str | None = None
    whole_line: bool = False
    kind = "edit"
    changes = True

    @property
    def title(self) -> str:
        where = f"in {self.path}" if self.path else "in every file"
        if self.whole_line or not self.new:
            what = "the line " if self.whole_line else ""
            return f'Remove {what}"{short(self.old)}" {where.replace("in ", "from ", 1)}'
        return f'Replace "{short(self.old)}" with "{short(self.new)}" {where}'

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if self.path else ()


@dataclass(frozen=True)
class _OnePath(Step):
    path: str

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,)


@dataclass(frozen=True)
class Append(_OnePath):
    text: str
    kind = "edit"
    changes = True

    @property
    def title(self) -> str:
        return f'Append "{short(self.text)}" to {self.path}'


@dataclass(frozen=True)
class Prepend(_OnePath):
    text: str
    kind = "edit"
    changes = True

    @property
    def title(self) -> str:
        return f'Add "{short(self.text)}" to the top of {self.path}'


@dataclass(frozen=True)
class Create(_OnePath):
    text: str
    kind = "edit"
    changes = True

    @property
    def title(self) -> str:
        return f"Create {self.path}"


@dataclass(frozen=True)
class Delete(_OnePath):
    kind = "delete"
    changes = True

    @property
    def title(self) -> str:
        return f"Delete {self.path}"


@dataclass(frozen=True)
class Rename(Step):
    old: str
    new: str
    kind = "move"
    changes = True

    @property
    def title(self) -> str:
        return f"Rename {self.old} to {self.new}"

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.old, self.new)


@dataclass(frozen=True)
class Run(Step):
    command: str
    kind = "execute"

    @property
    def title(self) -> str:
        return f"Run {short(self.command, 60)}"


@dataclass(frozen=True)
class Wait(Step):
    seconds: float

    @property
    def title(self) -> str:
        return f"Wait {self.seconds:g} second{'' if self.seconds == 1 else 's'}"


@dataclass(frozen=True)
class ListFiles(Step):
    path: str | None = None
    kind = "search"

    @property
    def title(self) -> str:
        return f"List the files in {self.path}" if self.path else "List the files"


@dataclass(frozen=True)
class Show(_OnePath):
    kind = "read"

    @property
    def title(self) -> str:
        return f"Show {self.path}"


@dataclass(frozen=True)
class Help(Step):
    @property
    def title(self) -> str:
        return "Say what I understand"
