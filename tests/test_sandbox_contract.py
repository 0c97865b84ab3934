"""The local provider keeps the contract of every provider, with overlays and with plain folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.testing.provider_contract import ProviderContract
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings


class TestOverlay(ProviderContract):
    @pytest.fixture
    async def provider(self, tmp_path: Path) -> AsyncIterator[LocalProvider]:
        provider = LocalProvider(tmp_path / "data", Settings.model_validate({}), overlay=True)
        yield provider
        await provider.close()


class TestPlainFolders(ProviderContract):
    @pytest.fixture
    async def provider(self, tmp_path: Path) -> AsyncIterator[LocalProvider]:
        provider = LocalProvider(tmp_path / "data", Settings.model_validate({}), overlay=False)
        yield provider
        await provider.close()
