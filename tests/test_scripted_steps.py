"""What each step of the scripted agent does to files, and what it refuses to do."""

from __future__ import annotations

import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from plugins.agents.scripted.turn import Turn
from plugins.agents.scripted.words import understand


class Repository:
    """A git repository in which requests are worked on, without any protocol."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.updates: list[dict[str, Any]] = []

    def put(self, path: str, text: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def read(self, path: str) -> str:
        return (self.folder / path).read_bytes().decode()

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", self.folder, *words], capture_output=True, check=True, text=True
        ).stdout

    def do(self, words: str) -> str:
        said = Turn(str(self.folder), threading.Event(), self.updates.append).work(understand(words))
        assert said is not None
        return said


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.put("README.md", "# Shop\n")
    repository.put("src/header.js", "// Welcome\nexport const title = 'Welcome';\n")
    repository.put("src/footer.js", "export const bye = 'Goodbye';\n")
    repository.git("init", "-q")
    repository.git("add", "-A")
    return repository


def title(said: str) -> str:
    return said.splitlines()[0]


def test_without_a_path_it_replaces_in_every_text_file_but_ignored_and_binary_ones(repository):
    repository.put(".gitignore", "build/\n")
    repository.put("build/out.js", "export const x;\n")
    repository.put("logo.png", b"\x89PNG\0export const")
    repository.put("docs/new.md", "export const\n")
    (repository.folder / "link.js").symlink_to("src/header.js")
    assert "3 places in 3 files" in repository.do('replace "export const" with "const"')
    assert repository.read("docs/new.md") == "const\n"
    assert repository.read("build/out.js") == "export const x;\n"
    assert b"export const" in (repository.folder / "logo.png").read_bytes()


def test_outside_of_git_it_walks_the_folder(tmp_path):
    plain = Repository(tmp_path)
    plain.put("a/b.txt", "x")
    plain.put("node_modules/c.txt", "x")
    assert "1 file:\na/b.txt" in plain.do("list files")


def test_a_files_mode_and_line_ends_stay(repository):
    file = repository.put("run.bat", "one\r\ntwo\r\n")
    file.chmod(0o755)
    repository.do('replace ```one\ntwo``` with ```1\n2``` in run.bat then append "three" to run.bat')
    repository.do('add "zero" to the top of run.bat')
    assert file.read_bytes() == b"zero\r\n1\r\n2\r\nthree\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o755


def test_append_prepend_create_delete_rename_and_lines(repository):
    repository.put("no-newline", "end")
    repository.do(
        'append "more" to no-newline; add "# Top" to the top of README.md; create docs/a/b.md with "hi"; '
        'delete src/footer.js; rename src to source; remove the line "// Welcome" from source/header.js'
    )
    assert repository.read("no-newline") == "end\nmore\n"
    assert repository.read("README.md") == "# Top\n# Shop\n"
    assert repository.read("docs/a/b.md") == "hi\n"
    assert repository.read("source/header.js") == "export const title = 'Welcome';\n"
    assert not (repository.folder / "source/footer.js").exists()


def test_a_file_moves_into_a_directory_that_is_there(repository):
    repository.do("move README.md into src")
    assert repository.read("src/README.md") == "# Shop\n"


def test_a_folder_is_deleted_with_what_is_in_it(repository):
    assert "with 2 files in it" in repository.do("delete the folder src")
    assert not (repository.folder / "src").exists()


def test_listing_and_showing(repository):
    said = repository.do("list files in src then show README.md")
    assert "src/footer.js\nsrc/header.js" in said
    assert "# Shop" in said


def test_two_changes_share_the_title_and_more_are_counted(repository):
    said = repository.do("delete README.md then rename src/header.js to src/top.js")
    assert title(said) == "Delete README.md and rename src/header.js to src/top.js"
    assert title(repository.do("create a.md then create b.md then create c.md")) == "Create a.md and 2 more"


def test_a_change_says_more_in_a_title_than_a_command(repository):
    assert (
        title(repository.do('run true then append "x" to README.md then run true'))
        == 'Append "x" to README.md'
    )


def test_help_says_what_it_understands_and_that_it_is_no_model(repository):
    said = repository.do("hello!")
    assert "not a model" in said
    assert 'replace "A" with "B" in path/to/file' in said


def test_a_command_ended_by_a_signal_is_told_so(repository):
    assert "signal 9" in repository.do("run `kill -9 $$`")


def test_endless_output_is_bounded(repository):
    said = repository.do("run `yes | head -c 5000000`")
    assert len(said) < 3000
    assert max(len(str(update)) for update in repository.updates) < 40_000


def test_what_writes_on_in_the_background_does_not_hold_the_step(repository):
    assert "ran well" in repository.do("run `yes & echo done`")


def test_a_program_that_closes_its_output_early_is_waited_for(repository):
    repository.do("run `exec >&- 2>&-; sleep 0.2; echo x > done`")
    assert repository.read("done") == "x\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('append "x" to REDME.md', "no file REDME.md. What to do: Did you mean README.md?"),
        ('append "x" to header.js', "Did you mean src/header.js?"),
        ('append "x" to zzzz', "list files"),
        ('append "x" to src', "src is a directory. What to do: Name a file in it, such as src/footer.js."),
        ('replace "welcome" with "x" in src/header.js', "src/header.js has it with other capital letters"),
        (
            'replace "Welcome!" with "x" in src/header.js',
            "The line nearest to it in src/header.js is: // Welcome",
        ),
        ('replace "nowhere" with "x"', '"nowhere" is not in any of 3 text files.'),
        ('replace "a" with "a" in README.md', "Both texts are the same"),
        ('replace "" with "a" in README.md', "nothing between"),
        ('create README.md with "x"', "README.md is already there"),
        ('create README.md/x with "x"', "The system says"),
        ("rename README.md to src/header.js", "src/header.js is already there"),
        ("rename src to src/deep", "cannot be moved into itself"),
        ("delete nothing.txt", "no file nothing.txt"),
        ('append "x" to logo.png', "no text file"),
    ],
)
def test_a_step_that_cannot_be_done_says_why_and_what_to_do(repository, words, said):
    repository.put("logo.png", b"\0\1")
    before = repository.git("status", "-s")
    text = repository.do(words)
    assert said in " ".join(text.split())
    assert "Nothing was changed." in text
    assert title(text).startswith("Could not: ")
    assert repository.updates[-1]["status"] == "failed"
    assert repository.git("status", "-s") == before


def test_it_stops_at_the_first_error_and_says_what_was_done_and_what_was_not(repository):
    said = repository.do('append "x" to README.md then delete nothing.txt then delete src/header.js')
    assert title(said) == 'Append "x" to README.md (stopped at step 2 of 3)'
    assert "step 2 of 3, “Delete nothing.txt”, failed: There is no file nothing.txt." in said
    assert "Done before that:\n- README.md: 1 line added at the end" in said
    assert "Not done:\n- Delete src/header.js" in said
    assert (repository.folder / "src/header.js").exists()
    statuses = [entry["status"] for entry in repository.updates[-1]["entries"]]
    assert statuses == ["completed", "pending", "pending"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/passwd", "outside of the repository"),
        ("~/x", "outside of the repository"),
        ("../outside.txt", "leads out"),
        ("src/../../outside.txt", "leads out"),
        ("link/outside.txt", "through a link"),
        ("linked.txt", "through a link"),
        (".git/config", "belongs to git"),
        (".GIT/config", "belongs to git"),
        ("gitlink/config", "belongs to git"),
        (".", "the whole repository"),
    ],
)
@pytest.mark.parametrize(
    "form",
    ['append "x" to `{}`', "show `{}`", 'create `{}` with "x"', "delete `{}`", "rename README.md to `{}`"],
)
def test_no_path_leads_out_of_the_repository_or_into_git(repository, path, said, form):
    outside = repository.folder.parent / "outside.txt"
    outside.write_text("mine")
    (repository.folder / "link").symlink_to(repository.folder.parent)
    (repository.folder / "linked.txt").symlink_to(outside)
    (repository.folder / "gitlink").symlink_to(".git")
    config = repository.read(".git/config")
    if path == "linked.txt" and form.startswith(("delete", "rename")):
        said = "linked.txt"  # the link itself is in the repository: deleted, or in the way of a rename
    assert said in repository.do(form.format(path))
    assert outside.read_text() == "mine"
    assert repository.read(".git/config") == config
    assert sorted(entry.name for entry in repository.folder.parent.iterdir()) == ["outside.txt", "repository"]


def test_nothing_is_moved_out_through_a_link(repository):
    (repository.folder / "link").symlink_to(repository.folder.parent)
    assert "through a link" in repository.do("move README.md into link")
    assert repository.read("README.md") == "# Shop\n"


def test_an_absolute_path_within_is_told_how_to_be_named(repository):
    said = repository.do(f"show {repository.folder}/README.md")
    assert "Name it from the top of the repository: README.md" in said
