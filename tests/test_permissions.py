"""Who may do what: denied by default, any no wins, an error is a no."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import Action, Denied, Person, Repository, SessionId, Subject, UserError, hookimpl
from bot.config_models import PermissionSettings
from bot.permissions import Permissions, core_rule
from bot.plugins import Plugins

ADA = Person("U1", "T1", "Ada")
GUEST = Person("U2", "T1", "Guest", is_guest=True)
STRANGER = Person("U3", "T9", "Stranger", is_stranger=True)
ROBOT = Person("U4", "T1", "Robot", is_bot=True)
SESSION = Subject(session=SessionId("s1"))


class Guard:
    """Answers every question with one thing."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @hookimpl
    async def may(self) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def permissions(*answers: object, **settings: object) -> Permissions:
    plugins = Plugins(())
    for name, answer in zip("abcdef", answers, strict=False):
        plugins.register(Guard(answer), name)
    return Permissions(plugins, PermissionSettings.model_validate(settings))


@pytest.mark.parametrize("action", list(Action))
async def test_a_member_may(action):
    assert await permissions().may(ADA, action, SESSION) == await permissions(None, True).may(
        ADA, action, SESSION
    )
    assert (await permissions().may(ADA, action, SESSION)).allowed


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(
    ("person", "setting"),
    [(GUEST, {"allow_guests": True}), (STRANGER, {"allow_strangers": True}), (ROBOT, {"bots": ["U4"]})],
)
async def test_others_may_only_when_it_is_configured(person, setting, action):
    denied = await permissions().may(person, action, SESSION)
    assert not denied.allowed
    assert next(iter(setting)) in denied.reason
    assert (await permissions(**setting).may(person, action, SESSION)).allowed


async def test_a_guest_of_another_organisation_needs_both_settings():
    both = dataclasses.replace(GUEST, is_stranger=True)
    assert not (await permissions(allow_guests=True).may(both, Action.START, SESSION)).allowed
    assert not (await permissions(allow_strangers=True).may(both, Action.START, SESSION)).allowed
    assert (
        await permissions(allow_guests=True, allow_strangers=True).may(both, Action.START, SESSION)
    ).allowed


async def test_a_listed_bot_lets_no_other_in():
    assert not (await permissions(bots=["U99"]).may(ROBOT, Action.START, SESSION)).allowed


async def test_nobody_approves_what_their_own_text_went_into():
    subject = Subject(session=SessionId("s1"), participants=frozenset({"U1", "U5"}))
    denied = await permissions(True).may(ADA, Action.APPROVE, subject)
    assert not denied.allowed
    assert "somebody else" in denied.reason
    assert (await permissions().may(dataclasses.replace(ADA, id="U6"), Action.APPROVE, subject)).allowed
    assert (await permissions().may(ADA, Action.STOP, subject)).allowed


@pytest.mark.parametrize("answers", [(False,), (True, False), (False, True), (None, False, None)])
async def test_any_no_wins_and_says_whose_it_is(answers):
    decision = await permissions(*answers).may(ADA, Action.STEER, SESSION)
    assert not decision.allowed
    assert f"`{'abc'[answers.index(False)]}`" in decision.reason


@pytest.mark.parametrize("answer", [RuntimeError("boom"), SystemExit(), "yes", 1, 0, "", [], object()])
async def test_what_is_neither_yes_nor_a_pass_is_a_no(answer):
    decision = await permissions(True, answer, True).may(ADA, Action.START, SESSION)
    assert not decision.allowed
    assert "`b`" in decision.reason
    assert "boom" not in decision.reason


async def test_a_user_error_is_a_no_in_the_plugin_s_own_words():
    decision = await permissions(UserError("the freeze lasts until Monday")).may(ADA, Action.START, SESSION)
    assert not decision.allowed
    assert "until Monday" in decision.reason


async def test_no_plugin_can_allow_what_the_core_denies():
    assert not (await permissions(True).may(GUEST, Action.START, SESSION)).allowed


async def test_nothing_is_allowed_while_a_required_plugin_is_not_working():
    denied = await permissions(True, required_plugins=["office_hours"]).may(ADA, Action.START, SESSION)
    assert not denied.allowed
    assert "`office_hours`" in denied.reason
    assert (await permissions(True, required_plugins=["a"]).may(ADA, Action.START, SESSION)).allowed


async def test_nothing_is_allowed_once_a_guard_failed_at_start(tmp_path):
    class Falling(Guard):
        @hookimpl
        def setup(self):
            raise RuntimeError

    plugins = Plugins(())
    plugins.register(Falling(None), "falling")
    await plugins.setup({}, [], tmp_path, 1)
    decision = await Permissions(plugins, PermissionSettings()).may(ADA, Action.START, SESSION)
    assert not decision.allowed
    assert "`falling`" in decision.reason


async def test_require_raises_with_a_text_for_the_person():
    await permissions().require(ADA, Action.STOP, SESSION)
    with pytest.raises(Denied, match="may not stop this session"):
        await permissions(False).require(ADA, Action.STOP, SESSION)


async def test_repositories_are_filtered_to_what_this_person_may_use():
    class Walls:
        @hookimpl
        def may(self, actor, action, subject):
            if subject.repository == "acme/broken":
                raise RuntimeError
            return None if subject.repository != "acme/secret" else actor.id == "U7"

    plugins = Plugins(())
    plugins.register(Walls(), "walls")
    wall = Permissions(plugins, PermissionSettings())
    names = ["acme/web", "acme/secret", "acme/broken", "acme/api"]
    usable = await wall.repositories_for(ADA, [Repository(name) for name in names])
    assert [each.name for each in usable] == ["acme/web", "acme/api"]
    usable = await wall.repositories_for(dataclasses.replace(ADA, id="U7"), [Repository("acme/secret")])
    assert [each.name for each in usable] == ["acme/secret"]
    assert await wall.repositories_for(GUEST, [Repository("acme/web")]) == []


def test_without_a_list_the_bot_works_in_every_channel_it_is_in():
    assert permissions().channel("C1", "web").allowed


@pytest.mark.parametrize(
    ("listed", "allowed"),
    [(["C1"], True), (["web"], True), (["#web"], True), (["api"], False), (["#"], False)],
)
def test_with_a_list_the_bot_works_in_those_channels_only(listed, allowed):
    assert permissions(channels=listed).channel("C1", "web").allowed is allowed
    assert not permissions(channels=listed).channel("C2", "").allowed


PEOPLE = st.builds(
    Person, id=st.sampled_from("abc"), team=st.just("T"), name=st.just("n"), is_guest=st.booleans(),
    is_stranger=st.booleans(), is_bot=st.booleans(),
)  # fmt: skip


@given(PEOPLE, st.sampled_from(Action), st.frozensets(st.sampled_from("abc")))
def test_unless_configured_only_plain_members_get_through(person, action, participants):
    decision = core_rule(person, action, Subject(participants=participants), PermissionSettings())
    plain = not (person.is_guest or person.is_stranger or person.is_bot)
    own = action is Action.APPROVE and person.id in participants
    assert decision.allowed is (plain and not own)
    assert bool(decision.reason) is not decision.allowed
