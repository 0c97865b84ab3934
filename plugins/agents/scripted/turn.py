"""Works through the steps of one prompt, telling the client of each as a tool call and of all as a plan."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import edits, report, shell
from .edits import Done, Edit
from .steps import Append, Create, Delete, Help, ListFiles, Prepend, Rename, Replace, Run, Show, Step, Wait
from .workspace import StepError, Workspace

DIFF_BYTES = 64 * 1024
DIFFS = 20
SHOWN_OUTPUT = 1_200
SHOWN_LINES = 8

Update = dict[str, Any]

_EDITS: dict[type[Step], Callable[[Any, Workspace], Done]] = {
    Replace: edits.replace,
    Append: edits.append,
    Prepend: edits.prepend,
    Create: edits.create,
    Delete: edits.delete,
    Rename: edits.rename,
    ListFiles: edits.list_files,
    Show: edits.show,
}


class Turn:
    """`tell` sends one ACP update; `stop` is set when the turn is cancelled."""

    def __init__(self, cwd: str, stop: threading.Event, tell: Callable[[Update], None]) -> None:
        self._files = Workspace(cwd)
        self._stop = stop
        self._tell = tell
        self._tool = 0

    def work(self, steps: Sequence[Step]) -> str | None:
        """Do the steps in order up to the first that fails; the last words, or None when cancelled."""
        if all(isinstance(step, Help) for step in steps):
            return report.help_text()
        details: list[str] = []
        for step in steps:
            self._plan(steps, len(details))
            try:
                details.append(self._step(step))
            except shell.Stopped:
                return None
            except StepError as error:
                self._plan(steps, len(details), active=False)
                return report.failed(steps, details, error.problem, error.advice)
        self._plan(steps, len(steps))
        return report.done(steps, details)

    def _step(self, step: Step) -> str:
        """One step as a tool call. Raises StepError or Stopped, after the tool call was ended."""
        self._tool += 1
        tool = f"step-{os.urandom(4).hex()}-{self._tool}"
        self._begin(tool, step)
        try:
            done = self._do(tool, step)
        except shell.Stopped:
            self._end(tool, "failed", _text("Stopped."))
            raise
        except StepError as error:
            self._end(tool, "failed", _text(error.output or f"{error.problem} {error.advice}".strip()))
            raise
        self._end(tool, "completed", self._content(done))
        return done.detail

    def _do(self, tool: str, step: Step) -> Done:
        if self._stop.is_set():
            raise shell.Stopped
        if isinstance(step, Wait):
            return self._wait(tool, step)
        if isinstance(step, Run):
            return self._run(tool, step)
        if isinstance(step, Help):
            return Done(report.help_text())
        try:
            return _EDITS[type(step)](step, self._files)
        except OSError as error:
            raise StepError(f"The system says: {error.strerror}.", "Name another path.") from error

    def _wait(self, tool: str, step: Wait) -> Done:
        left = step.seconds
        while left > 0:
            if self._stop.wait(min(left, shell.BEAT_SECONDS)):
                raise shell.Stopped
            left -= shell.BEAT_SECONDS
            self._tell({"sessionUpdate": "tool_call_update", "toolCallId": tool, "status": "in_progress"})
        return Done(f"waited {step.seconds:g} s")

    def _run(self, tool: str, step: Run) -> Done:
        def tell(output: str) -> None:
            self._tell({"sessionUpdate": "tool_call_update", "toolCallId": tool, "content": _text(output)})

        try:
            code, output = shell.run(step.command, str(self._files.root), self._stop, tell)
        except TimeoutError:
            raise StepError(
                f"The command took longer than {shell.MAX_SECONDS:g} s.", "Ask for a shorter one."
            ) from None
        except OSError as error:
            raise StepError(f"No shell could be started: {error.strerror}.") from error
        if code:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            problem = f"`{step.command}` ended with {how}.{_fenced(output)}"
            raise StepError(problem, "Look at its output, then ask again.", f"{output}\n[{how}]".lstrip())
        return Done(f"`{step.command}` ran well{_fenced(output)}", output=output)

    # -- what the client sees --------------------------------------------------------------------

    def _plan(self, steps: Sequence[Step], done: int, *, active: bool = True) -> None:
        if len(steps) < 2:
            return
        entries = [
            {"content": step.title, "priority": "medium", "status": _status(index, done, active)}
            for index, step in enumerate(steps)
        ]
        self._tell({"sessionUpdate": "plan", "entries": entries})

    def _begin(self, tool: str, step: Step) -> None:
        update: Update = {
            "sessionUpdate": "tool_call",
            "toolCallId": tool,
            "title": step.title,
            "kind": step.kind,
        }
        update["status"] = "in_progress"
        update["locations"] = [{"path": str(self._files.root / path)} for path in step.paths]
        if isinstance(step, Run):
            update["rawInput"] = {"command": step.command}
        self._tell(update)

    def _end(self, tool: str, status: str, content: list[Update]) -> None:
        update = {
            "sessionUpdate": "tool_call_update",
            "toolCallId": tool,
            "status": status,
            "content": content,
        }
        self._tell(update)

    def _content(self, done: Done) -> list[Update]:
        diffs = [_diff(self._files.root, edit) for edit in done.edits[:DIFFS]]
        return [
            *_text(done.detail if done.output is None else done.output),
            *(diff for diff in diffs if diff),
        ]


def _fenced(output: str) -> str:
    """The last lines of an output, for people; the tool's own output has more."""
    last = "\n".join(output.strip().splitlines()[-SHOWN_LINES:])[-SHOWN_OUTPUT:]
    return f"\n```\n{last}\n```" if last else ""


def _status(index: int, done: int, active: bool) -> str:
    if index < done:
        return "completed"
    return "in_progress" if index == done and active else "pending"


def _text(text: str) -> list[Update]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def _diff(root: Path, edit: Edit) -> Update | None:
    if max(len(edit.before or b""), len(edit.after or b"")) > DIFF_BYTES:
        return None
    before = None if edit.before is None else edit.before.decode("utf-8", "replace")
    after = (edit.after or b"").decode("utf-8", "replace")
    return {"type": "diff", "path": str(root / edit.path), "oldText": before, "newText": after}
