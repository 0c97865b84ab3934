"""Who is here: auth.test, bots.info, team.info and users.*."""

from __future__ import annotations

from bot.playground import people
from bot.playground.slack import views
from bot.playground.slack.calls import Call, Handler, page_of
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json

_UPDATED = 1700000000
TEAM_URL = f"https://{people.TEAM_DOMAIN}.slack.com/"


def auth_test(call: Call) -> Json:
    """auth.test, for the bot's token."""
    return {
        "url": TEAM_URL,
        "team": people.TEAM_NAME,
        "user": people.BOT.name,
        "team_id": people.TEAM_ID,
        "user_id": people.BOT_USER_ID,
        "bot_id": people.BOT_ID,
        "is_enterprise_install": False,
    }


def bots_info(call: Call) -> Json:
    """bots.info."""
    if call.args.text("bot") not in (None, people.BOT_ID):
        raise SlackError("bot_not_found")
    bot = views.bot_profile() | {"user_id": people.BOT_USER_ID}
    del bot["team_id"]
    return {"bot": bot}


def team_info(call: Call) -> Json:
    """team.info."""
    if call.args.text("team") not in (None, people.TEAM_ID):
        raise SlackError("team_not_found")
    team = {"id": people.TEAM_ID, "name": people.TEAM_NAME, "domain": people.TEAM_DOMAIN, "email_domain": ""}
    return {"team": {**team, "url": TEAM_URL, "icon": {"image_default": True}}}


def _person(call: Call) -> people.Person:
    person = people.PEOPLE.get(call.args.text("user") or "")
    if person is None:
        raise SlackError("user_not_found")
    return person


def info(call: Call) -> Json:
    """users.info."""
    return {"user": described(_person(call))}


def members(call: Call) -> Json:
    """users.list."""
    page, next_cursor = page_of(list(people.PEOPLE.values()), call.args, default=1000)
    listed = [described(person) for person in page]
    return {"members": listed, "cache_ts": _UPDATED, "response_metadata": {"next_cursor": next_cursor}}


def profile_get(call: Call) -> Json:
    """users.profile.get."""
    shown = profile(_person(call) if call.args.text("user") else people.BOT)
    del shown["team"]  # recorded in user objects only
    return {"profile": shown}


def described(person: people.Person) -> Json:
    """A user object."""
    user: Json = {
        "id": person.id,
        "team_id": people.TEAM_ID,
        "name": person.name,
        "deleted": False,
        "color": person.color,
        "real_name": person.real_name,
        "tz": "Europe/London",
        "tz_label": "Greenwich Mean Time",
        "tz_offset": 0,
        "profile": profile(person),
        "is_bot": person.is_bot,
        "is_app_user": False,
        "is_email_confirmed": not person.is_bot,
        "updated": _UPDATED,
        "who_can_share_contact_card": "EVERYONE",
    }
    return user | _ranks(person)


def _ranks(person: people.Person) -> Json:
    ranks = ("is_admin", "is_owner", "is_primary_owner", "is_ultra_restricted")
    return {**dict.fromkeys(ranks, False), "is_restricted": person.is_guest}


def profile(person: people.Person) -> Json:
    """A user's profile. The bot has ids instead of an address."""
    first, _, last = person.real_name.partition(" ")
    data: Json = {
        "title": "",
        "phone": "",
        "skype": "",
        "real_name": person.real_name,
        "real_name_normalized": person.real_name,
        "display_name": person.display_name,
        "display_name_normalized": person.display_name,
        "first_name": first,
        "last_name": last,
        "status_text": "",
        "status_emoji": "",
        "status_expiration": 0,
        "avatar_hash": person.id.lower(),
        "team": people.TEAM_ID,
        **{
            f"image_{size}": f"https://a.slack-edge.com/{person.name}_{size}.png"
            for size in (24, 48, 72, 192)
        },
    }
    if person.is_bot:
        return data | {"bot_id": people.BOT_ID, "api_app_id": people.APP_ID, "always_active": True}
    return data | {"email": f"{person.name}@example.com"}


METHODS: dict[str, Handler] = {
    "auth.test": auth_test,
    "bots.info": bots_info,
    "team.info": team_info,
    "users.info": info,
    "users.list": members,
    "users.profile.get": profile_get,
}
