"""Files as the workspace keeps them: what Slack says of each, and its content."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from bot.playground import people
from bot.playground.slack.store import Store

MAX_FILE_BYTES = 16 << 20
MAX_FILES = 20  # of one message; Slack's own clients stop at 10
MAX_MESSAGE_BYTES = 32 << 20
MAX_KEPT_BYTES = 256 << 20  # of all content; beyond it the oldest loses its own
_NAME_CHARS = 200

# Extension -> Slack's own words for it. What is not here is "binary": Slack's word for the rest.
_KINDS = {
    "png": ("image/png", "PNG"),
    "jpg": ("image/jpeg", "JPEG"),
    "jpeg": ("image/jpeg", "JPEG"),
    "gif": ("image/gif", "GIF"),
    "webp": ("image/webp", "WebP"),
    "svg": ("image/svg+xml", "SVG"),
    "pdf": ("application/pdf", "PDF"),
    "zip": ("application/zip", "Zip"),
    "html": ("text/html", "HTML"),
    "css": ("text/css", "CSS"),
    "js": ("text/javascript", "JavaScript"),
    "json": ("application/json", "JSON"),
    "md": ("text/markdown", "Markdown (raw)"),
    "csv": ("text/csv", "CSV"),
    "py": ("text/x-python", "Python"),
    "txt": ("text/plain", "Plain Text"),
    "log": ("text/plain", "Plain Text"),
}
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


@dataclass
class File:
    """`shares` is where it was posted: (channel, ts, thread_ts or "")."""

    id: str
    user: str
    name: str
    title: str
    mimetype: str
    filetype: str
    pretty_type: str
    size: int
    created: int
    shares: list[list[str]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The last two parts of its address."""
        return f"{people.TEAM_ID}-{self.id}/{_slug(self.name)}"


def new_file(user: str, name: str, size: int, mimetype: str | None = None) -> File:
    """A file that somebody has named; `mimetype` is what they claim of it, else its name tells."""
    shown = clean_name(name)
    extension = PurePosixPath(shown).suffix.lstrip(".").lower()
    kind, pretty = _KINDS.get(extension, ("application/octet-stream", "Binary"))
    return File(
        id=f"F{secrets.token_hex(5).upper()}",
        user=user,
        name=shown,
        title=shown,
        mimetype=mimetype or kind,
        filetype=extension if extension in _KINDS else "binary",
        pretty_type=pretty,
        size=size,
        created=int(time.time()),
    )


def clean_name(name: str) -> str:
    """A name to show: its last part, nothing in it that hides, turns or controls."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip()
    return shown[-_NAME_CHARS:] if shown.strip(".") else "file"


def _slug(name: str) -> str:
    """As Slack writes a name into an address."""
    return re.sub(r"[^a-z0-9._-]+", "_", name.lower()).strip("_") or "file"


def image_type(content: bytes) -> str | None:
    """The type of an image that is safe to show, by its first bytes alone."""
    return next((kind for magic, kind in _MAGIC if magic.match(content)), None)


def described(file: File, base_url: str) -> dict[str, object]:
    """A file as Slack's messages and answers have it."""
    address = f"{base_url}/files-pri"
    return {
        "id": file.id,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.title,
        "mimetype": file.mimetype,
        "filetype": file.filetype,
        "pretty_type": file.pretty_type,
        "user": file.user,
        "user_team": people.TEAM_ID,
        "editable": False,
        "size": file.size,
        "mode": "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": True,
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": f"{address}/{file.place}",
        "url_private_download": f"{address}/{file.place.replace('/', '/download/')}",
        "media_display_type": "unknown",
        "permalink": f"{base_url}/files/{file.user}/{file.id}/{_slug(file.name)}",
        "is_starred": False,
        "has_rich_preview": False,
        "file_access": "visible",
    }


class Files:
    """The table of files. One that is being uploaded has a ticket and nothing else yet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, file: File, content: bytes | None, ticket: str | None = None) -> None:
        """Keep a new one."""
        self._store.run(
            "insert into files (id, body, content, ticket) values (?, ?, ?, ?)",
            *(file.id, json.dumps(asdict(file)), content, ticket),
        )
        self._make_room()

    def save(self, file: File) -> None:
        """Keep what has changed of one; it is complete from then on."""
        self._store.run(
            "update files set body = ?, ticket = null where id = ?", json.dumps(asdict(file)), file.id
        )

    def get(self, file_id: str) -> File | None:
        """One that is complete."""
        row = self._store.one("select body from files where id = ? and ticket is null", file_id)
        return _file(row)

    def uploading(self, ticket: str) -> File | None:
        """The one whose content is to come by this ticket."""
        return _file(self._store.one("select body from files where ticket = ?", ticket))

    def uploaded(self, file_id: str) -> File | None:
        """One whose content has come, but that was not completed."""
        sql = "select body from files where id = ? and ticket is not null and content is not null"
        return _file(self._store.one(sql, file_id))

    def fill(self, file_id: str, content: bytes) -> None:
        """Its content has come."""
        self._store.run("update files set content = ? where id = ?", content, file_id)
        self._make_room()

    def content(self, file_id: str) -> bytes | None:
        """Its bytes; None where there are none, or none any more."""
        row = self._store.one("select content from files where id = ?", file_id)
        return None if row is None or row["content"] is None else bytes(row["content"])

    def _make_room(self) -> None:
        kept = self._store.one("select coalesce(sum(length(content)), 0) as bytes from files")
        while kept is not None and kept["bytes"] > MAX_KEPT_BYTES:
            self._store.run(
                "update files set content = null where rowid ="
                " (select min(rowid) from files where content is not null)"
            )
            kept = self._store.one("select coalesce(sum(length(content)), 0) as bytes from files")


def _file(row: sqlite3.Row | None) -> File | None:
    return None if row is None else File(**json.loads(row["body"]))
