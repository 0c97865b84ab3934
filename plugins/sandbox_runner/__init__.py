"""Sandboxes: where they are made, and how a session gets one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bot import (
    Checks,
    Lease,
    LeaseRequest,
    PluginContext,
    Providers,
    Sandbox,
    SandboxSpec,
    Services,
    hookimpl,
)

if TYPE_CHECKING:
    from plugins.sandbox_runner.local import LocalProvider
    from plugins.sandbox_runner.settings import Settings


class Plugin:
    """Offers the local provider, and leases a new sandbox of it to each session that asks."""

    @hookimpl
    def config_schema(self) -> type[Settings]:
        from plugins.sandbox_runner.settings import Settings

        return Settings

    @hookimpl
    def setup(self, context: PluginContext) -> None:
        from plugins.sandbox_runner.local import LocalProvider

        self._settings: Settings = context.settings
        self._provider: LocalProvider = LocalProvider(context.data, self._settings)

    @hookimpl
    def register_providers(self, providers: Providers) -> None:
        providers.add(self._provider, self._settings.limits)

    @hookimpl
    def register_checks(self, checks: Checks) -> None:
        from plugins.sandbox_runner.checks import check_machine

        checks.add("sandboxes", partial(check_machine, self._provider, self._settings), seconds=60)

    @hookimpl
    def register_services(self, services: Services) -> None:
        services.add("sandbox_runner", start=self._start, stop=self._provider.close, ping=self._provider.ping)

    async def _start(self) -> None:
        self._provider.sweep()  # goes on by itself: what dead bots left delays nobody

    @hookimpl(trylast=True)
    async def lease_sandbox(self, request: LeaseRequest) -> Lease:
        """A cold start; the session's snapshot in it where that is still there."""
        await request.progress("Starting a sandbox…")
        sandbox, restored = await self._make(request)
        return Lease(sandbox, cold=True, restored=restored, release=sandbox.terminate)

    async def _make(self, request: LeaseRequest) -> tuple[Sandbox, bool]:
        from plugins.sandbox_runner.trees import SnapshotUnusable

        labels = {"session": request.session, "repository": request.repository.name}
        fresh = SandboxSpec(self._settings.limits, labels, request.epoch, folders=request.folders)
        if request.snapshot is None:
            return await self._provider.create(fresh), False
        try:
            return await self._provider.create(replace(fresh, image=request.snapshot)), True
        except SnapshotUnusable:
            return await self._provider.create(fresh), False
