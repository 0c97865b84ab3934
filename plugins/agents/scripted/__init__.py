"""The scripted agent: not a model, but a real agent that does the few things it understands.

This folder is copied into the sandbox and runs there on the Python it finds (3.9 or later), with nothing
but the standard library. So nothing here imports anything of the bot.
"""
