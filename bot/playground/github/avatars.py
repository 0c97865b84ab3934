"""The small squares that stand for accounts, drawn as SVG."""

from bot.playground.github.accounts import Account
from bot.playground.people import PEOPLE

_MARK = (
    '<path fill="#14665f"'
    ' d="M8 4h16a5 5 0 0 1 5 5v9a5 5 0 0 1-5 5h-8.5L9 28.5V23H8a5 5 0 0 1-5-5V9a5 5 0 0 1 5-5Z"/>'
    '<path fill="none" stroke="#f7d9c4" stroke-width="2.4" stroke-linecap="round"'
    ' d="M8 17.5 11.5 10m3 7.5L18 10m3 7.5L24.5 10"/>'
)
_COLORS = {person.github: person.color for person in PEOPLE.values() if person.github is not None}
_NEUTRAL = "6b6f74"


def mark() -> str:
    """The playground's own mark: a bubble sewn with three stitches."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{_MARK}</svg>'


def avatar(account: Account | None) -> str:
    """An SVG picture: the mark for a bot, initials on the person's colour for everybody else."""
    if account is not None and account.bot:
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 48 48">'
            f'<rect x="-8" y="-8" width="48" height="48" fill="#e0efec"/>{_MARK}</svg>'
        )
    initials, color = "?", _NEUTRAL
    if account is not None:
        words = [word for word in account.name.split() if word[0].isalnum()]
        initials = "".join(word[0].upper() for word in words[:2])
        color = _COLORS.get(account.login, _NEUTRAL)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">'
        f'<rect width="40" height="40" fill="#{color}"/>'
        '<text x="20" y="26" text-anchor="middle" font-family="system-ui, sans-serif" font-size="16"'
        f' font-weight="600" fill="#ffffff">{initials}</text></svg>'
    )
