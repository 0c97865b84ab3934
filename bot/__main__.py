"""`python -m bot` is `threadsmith`."""

from bot.cli import main

raise SystemExit(main())
