"""What an open session can be set to and what it is set to: its modes, its models, its config options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.acp.shape import mapping, string, usable_id
from bot.acp.text import clean_line
from bot.acp.updates import Draft
from bot.domain import EventType

OPTIONS_KEPT = 50
CHOICES_KEPT = 2_000  # of all options together; some agents list every model of every provider
NAME_LIMIT = 100
TITLE_LIMIT = 200
STATEFUL = frozenset({"current_mode_update", "config_option_update", "session_info_update"})

_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to choose. `id` goes back to the agent as it came; `name` may be shown."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ConfigOption:
    """A config option of a session. One that is `boolean` is "true" or "false" here."""

    id: str
    name: str
    category: str
    current: str
    choices: tuple[Choice, ...]
    boolean: bool = False

    def value(self, wanted: str) -> str:
        """The value that is meant by a value or by its shown name; what is not listed is left as it is."""
        return chosen(self.choices, wanted)

    def wire(self, value: str) -> dict[str, Any]:
        """As `session/set_config_option` wants it; raises KeyError for a boolean that is none."""
        return {"type": "boolean", "value": _TRUTH[value]} if self.boolean else {"value": value}


def chosen(listed: Iterable[Choice], wanted: str) -> str:
    by_name = [choice.id for choice in listed if choice.name == wanted]
    exact = any(choice.id == wanted for choice in listed)
    return by_name[0] if len(by_name) == 1 and not exact else wanted


def choices(listed: object, key: str, most: int = CHOICES_KEPT) -> tuple[Choice, ...]:
    """Read a list of `{key, name}`."""
    return tuple(_choices(listed[:most], key)) if isinstance(listed, list) else ()


def _choices(items: Iterable[object], key: str) -> Iterator[Choice]:
    for fields in map(mapping, items):
        if usable_id(fields.get(key)):
            yield Choice(fields[key], clean_line(fields.get("name"), NAME_LIMIT) or fields[key][:NAME_LIMIT])


def config_options(listed: object) -> dict[str, ConfigOption]:
    """Read `configOptions`, by id, in the agent's order."""
    found: dict[str, ConfigOption] = {}
    left = CHOICES_KEPT
    for item in listed[:OPTIONS_KEPT] if isinstance(listed, list) else []:
        option = _option(mapping(item), left)
        if option is not None:
            found[option.id] = option
            left -= len(option.choices)
    return found


def _option(fields: Mapping[str, Any], most: int) -> ConfigOption | None:
    if not usable_id(fields.get("id")) or fields.get("type") not in ("select", "boolean"):
        return None
    boolean, current = fields["type"] == "boolean", fields.get("currentValue")
    if boolean:
        current = str(current is True).lower()
    return ConfigOption(
        id=fields["id"],
        name=clean_line(fields.get("name"), NAME_LIMIT) or fields["id"][:NAME_LIMIT],
        category=clean_line(fields.get("category"), NAME_LIMIT),
        current=_id(current),
        choices=tuple(Choice(x, x) for x in _TRUTH) if boolean else _values(fields.get("options"), most),
        boolean=boolean,
    )


def _values(listed: object, most: int) -> tuple[Choice, ...]:
    """The values themselves, or groups of them."""
    most = max(0, most)
    found = list(choices(listed, "value", most))
    for group in listed[:most] if isinstance(listed, list) else []:
        found += choices(mapping(group).get("options"), "value", most - len(found))
    return tuple(found)


class OpenSession:
    """One ACP session's id, and what is known of its settings; kept up to date from what the agent says."""

    def __init__(self) -> None:
        self.id = ""
        self.title = ""  # the agent's own for this session
        self.options: dict[str, ConfigOption] = {}
        self.modes: tuple[Choice, ...] = ()
        self.models: tuple[Choice, ...] = ()  # of agents from before there were config options
        self._mode = self._model = ""
        self._early: dict[str, tuple[object, Mapping[str, Any]]] = {}

    @property
    def mode(self) -> str:
        option = self.option("mode")
        return self._mode if option is None else option.current

    @property
    def model(self) -> str:
        option = self.option("model")
        return self._model if option is None else option.current

    def option(self, category: str) -> ConfigOption | None:
        """The config option that sets the mode, or the model."""
        named = [option for option in self.options.values() if option.category == category]
        return named[0] if named else self.options.get(category)

    def opened(self, session_id: str, reply: Mapping[str, Any]) -> None:
        """Take what the agent answered to the opening of a session."""
        self.id = session_id
        modes, models = mapping(reply.get("modes")), mapping(reply.get("models"))
        self.modes = choices(modes.get("availableModes"), "id")
        self.models = choices(models.get("availableModels"), "modelId")
        self._mode, self._model = _id(modes.get("currentModeId")), _id(models.get("currentModelId"))
        self.options = config_options(reply.get("configOptions"))
        early, self._early = self._early, {}
        for whose, update in early.values():
            if whose == session_id:
                self.hear(update)

    def was_set(self, option: ConfigOption, value: str, reply: Mapping[str, Any]) -> None:
        """An option was taken. The agent answers with all of them, since one may change others."""
        listed = config_options(reply.get("configOptions"))
        self.options = listed or {**self.options, option.id: replace(option, current=value)}

    def mode_was_set(self, mode: str) -> None:
        self._mode = mode

    def model_was_set(self, model: str) -> None:
        self._model = model

    def overhear(self, session_id: object, update: Mapping[str, Any]) -> None:
        """What comes just before the session's id is known, which some agents do: the last of each kind."""
        kind = string(update.get("sessionUpdate"))
        if kind in STATEFUL:
            self._early[kind] = (session_id, update)

    def hear(self, update: Mapping[str, Any]) -> list[Draft]:
        """Take an update in; a change of mode or model by the agent itself is a step for people to see."""
        before = self.mode, self.model
        kind = update.get("sessionUpdate")
        if kind == "current_mode_update":
            self._mode_changed(_id(update.get("currentModeId")))
        elif kind == "config_option_update":
            self.options = config_options(update.get("configOptions")) or self.options
        elif kind == "session_info_update" and "title" in update:
            self.title = clean_line(update["title"], TITLE_LIMIT)
        return [*self._step("mode", before[0], self.mode), *self._step("model", before[1], self.model)]

    def _mode_changed(self, mode: str) -> None:
        self._mode = mode or self._mode
        option = self.option("mode")
        if option is not None and mode:
            self.options = {**self.options, option.id: replace(option, current=mode)}

    def _step(self, what: str, before: str, after: str) -> list[Draft]:
        if before in ("", after) or not after:
            return []
        option = self.option(what)
        listed = option.choices if option else self.modes if what == "mode" else self.models
        name = next((choice.name for choice in listed if choice.id == after), after)
        data = {"tool_id": f"{what} of the session", "title": f"{what.capitalize()}: {name[:NAME_LIMIT]}"}
        return [Draft(EventType.TOOL_FINISHED, data | {"kind": "switch_mode", "status": "completed"})]


def _id(value: object) -> str:
    return string(value) if usable_id(value) else ""
