"""Commands that plugins offer. They are looked for only when a word is none of ours: that takes a moment."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG_FILE = Path("config.toml")


class WithPlugins(click.Group):
    """Finds commands of plugins too: those that `config.toml` in this folder names, or the built-in ones."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing:
            found = _offered(ctx).get_command(ctx, cmd_name)
        return found


def _offered(context: click.Context) -> click.Group:
    """The commands of plugins that were set up beside any bot, in a folder that goes with `context`."""
    import asyncio

    from bot.config import load
    from bot.doctor import no_data, scratch, set_up
    from bot.plugins import Plugins

    plugins, group = Plugins(), click.Group()
    settings = load(CONFIG_FILE, plugins) if CONFIG_FILE.exists() else None
    folder = context.with_resource(scratch(no_data() if settings is None else settings.data))
    asyncio.run(set_up(settings, plugins, folder)).call_sync("register_cli", cli=group)
    return group
