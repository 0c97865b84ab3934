"""Nothing to see: what the tests share is in `bot.testing`, which ships with the bot."""

from hypothesis import settings

settings.register_profile("threadsmith", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("threadsmith")
