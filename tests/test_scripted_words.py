"""What the scripted agent understands, in the words people really type."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.agents.scripted.steps import (
    Append,
    Create,
    Delete,
    Help,
    ListFiles,
    Prepend,
    Rename,
    Replace,
    Run,
    Show,
    Wait,
)
from plugins.agents.scripted.words import HINTS, NotUnderstood, understand

A_TO_B = Replace("a", "b", "x.js")


@pytest.mark.parametrize(
    "words",
    [
        'replace "a" with "b" in x.js',
        'Replace "a" with "b" in x.js.',
        "replace “a” with “b” in `x.js`",
        "replace ”a” with ”b” in “x.js”",
        "replace 'a' with 'b' in 'x.js'",
        "replace ‘a’ with ‘b’ in x.js",
        "replace `a` with `b` in `x.js`",
        "replace a with b in x.js",
        'change "a" to "b" in x.js',
        'please change "a" into "b" inside the file x.js, thanks!',
        'could you please swap "a" for "b" in x.js?',
        'Hi there, replace "a" with "b" in x.js',
        'replace all occurrences of "a" by "b" in x.js',
        'change the title from "a" to "b" in x.js',
        'rename "a" to "b" in x.js',
        'in x.js, replace "a" with "b"',
        'In the file x.js change "a" to "b".',
        'replace in x.js "a" with "b"',
        '<@U0BOT> replace "a" with "b" in x.js',
        '@threadsmith: replace "a" with "b" in x.js',
        'repo=acme/web replace "a" with "b" in x.js',
        '<@U0BOT|threadsmith> repo=acme/web: replace "a" with "b" in x.js',
        'replace "a" with "b" in x.js repo=web',
        'replace "a" with "b" in <http://x.js|x.js>',
        '- replace "a" with "b" in x.js',
        '1. replace "a" with "b" in x.js',
        'replace\u00a0"a" with "b" in x.js',
    ],
)
def test_one_replacement_in_many_words(words):
    assert understand(words) == [A_TO_B]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ('replace "a" with "b"', Replace("a", "b")),
        ('replace "a" with "b" everywhere', Replace("a", "b")),
        ('replace "a" with "b" in all files', Replace("a", "b")),
        ('change "a" to "b" in every tracked text file', Replace("a", "b")),
        ('replace "a" with ""', Replace("a", "")),
        ('replace "don\'t" with "do not" in x', Replace("don't", "do not", "x")),
        ("replace 'don't' with 'do not' in x", Replace("don't", "do not", "x")),
        (r'replace "say \"hi\"" with "b" in x', Replace('say "hi"', "b", "x")),
        (
            'replace "a; b, then run c" with "and delete d" in x',
            Replace("a; b, then run c", "and delete d", "x"),
        ),
        ("replace &lt;h1&gt; with &lt;h2&gt; in x", Replace("<h1>", "<h2>", "x")),
        ('replace "a &amp;&amp; b" with "c" in x', Replace("a && b", "c", "x")),
        ('replace "<b>" with "&amp;" in x', Replace("<b>", "&amp;", "x")),
        ('remove "a" from x', Replace("a", "", "x")),
        ('delete the line "a" from x', Replace("a", "", "x", whole_line=True)),
        ('append "t" to x', Append("x", "t")),
        ('add a line "t" to README.md', Append("README.md", "t")),
        ("add the line “t” at the end of README.md", Append("README.md", "t")),
        ('Add a new line saying "t" to the bottom of the file README.md', Append("README.md", "t")),
        ('add to README.md: "t"', Append("README.md", "t")),
        ("append ```\none\n  two\n``` to x", Append("x", "one\n  two")),
        ('prepend "t" to x', Prepend("x", "t")),
        ('add "t" to the top of x', Prepend("x", "t")),
        ('create x with "t"', Create("x", "t")),
        ('create a new file called docs/x.md containing "t"', Create("docs/x.md", "t")),
        ("create x.py:\n```python\nprint(1)\nprint(2)\n```", Create("x.py", "print(1)\nprint(2)")),
        ("create x.md with ```hello\nworld```", Create("x.md", "hello\nworld")),
        ("create an empty file x", Create("x", "")),
        ('write "t" to x.md', Create("x.md", "t")),
        ("delete x", Delete("x")),
        ("remove the file src/x.js please", Delete("src/x.js")),
        ("delete `my file.txt`", Delete("my file.txt")),
        ("rename src/a.js to src/b.js", Rename("src/a.js", "src/b.js")),
        ("move the folder a into b", Rename("a", "b")),
        ("run npm test", Run("npm test")),
        ("run npm test.", Run("npm test")),
        ("run `npm test`", Run("npm test")),
        ("run the command `a; b`", Run("a; b")),
        ("run cd web; make", Run("cd web; make")),
        ("run echo \"a then b\" 'c, d'", Run("echo \"a then b\" 'c, d'")),
        ("run ls .", Run("ls .")),
        ("run make repo=web", Run("make repo=web")),
        ('replace "<!doctype>" with "<!DOCTYPE html>" in x', Replace("<!doctype>", "<!DOCTYPE html>", "x")),
        ("$ git status", Run("git status")),
        ("run ```\necho 1\necho 2\n```", Run("echo 1\necho 2")),
        ("wait 5 seconds", Wait(5)),
        ("sleep 0.5", Wait(0.5)),
        ("wait for a minute", Wait(60)),
        ("wait 200ms", Wait(0.2)),
        ("list files", ListFiles()),
        ("list all the files in src", ListFiles("src")),
        ("ls", ListFiles()),
        ("show README.md", Show("README.md")),
        ("show me the contents of the file src/x", Show("src/x")),
        ("help", Help()),
        *(
            (words, Help())
            for words in (
                "hello!",
                "Hi there",
                "Hello Threadsmith!",
                "<@U0BOT> good morning",
                "hey, help",
                "can you help me?",
                "what can you do?",
                "hello, what can you do for me?",
                "How do I use this?",
                "who are you?",
            )
        ),
        ("", Help()),
        ("<@U0BOT>", Help()),
    ],
)
def test_one_step(words, step):
    assert understand(words) == [step]


@pytest.mark.parametrize(
    "words",
    [
        'replace "a" with "b" in x.js then delete y then run make',
        'replace "a" with "b" in x.js, then delete y, and then run make.',
        'replace "a" with "b" in x.js; delete y; run make',
        'replace "a" with "b" in x.js\ndelete y\n\nrun make',
        '- replace "a" with "b" in x.js\n- delete y\n- run make',
        '1. replace "a" with "b" in x.js\n2. delete y\n3. run make',
        'replace "a" with "b" in x.js, delete y and run make',
        'First replace "a" with "b" in x.js. Then delete y. Finally, run make',
        'please replace "a" with "b" in x.js, then please delete y, then run `make`, thank you',
    ],
)
def test_several_steps_in_order(words):
    assert understand(words) == [A_TO_B, Delete("y"), Run("make")]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("fix the header in src/header.js", "replace"),
        ("change the header to blue", "replace"),
        ("change the header to blue in every file", "replace"),
        ('replace "a" in x', "replace"),
        ('replace "a" with "b in x', "not closed"),
        ('change "a" to "b" in x and "c" to "d" in y', "replace"),
        ("add a button to x.html", "append"),
        ("create a button", "create"),
        ("make test.txt for me", "create"),
        ("run the tests", "`run npm test`"),
        ("wait 601 seconds", "600 at most"),
        ("what is the meaning of life", ""),
        ("a" * 3000, "in quotes"),
        ("x" * 300_000, "200000"),
        ("; ".join(["delete x"] * 60), "50 steps"),
    ],
)
def test_what_is_not_clear_is_not_guessed_but_told_with_the_form_that_is(words, hint):
    with pytest.raises(NotUnderstood) as caught:
        understand(words)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "words", ["please make the header say Hello", "make test", "fix the header", "start over", "drop it"]
)
def test_no_form_is_offered_to_words_that_only_begin_like_it(words):
    with pytest.raises(NotUnderstood) as caught:
        understand(words)
    assert caught.value.hint == ""


@pytest.mark.parametrize("hint", HINTS.values())
def test_each_form_of_the_list_is_code_that_is_understood_as_it_stands(hint):
    found = re.match(r"`([^`]+)`", hint)
    assert found is not None
    assert understand(found[1])


def test_the_step_that_is_not_clear_is_named():
    with pytest.raises(NotUnderstood) as caught:
        understand('append "x" to y then paint it "red"')
    assert caught.value.piece == 'paint it "red"'


QUOTABLE = st.text(
    st.characters(exclude_characters='"“”„\\`<>&\ue000\ue001\r\u00a0', exclude_categories=["Cs"])
)


@given(QUOTABLE, QUOTABLE)
def test_whatever_is_quoted_arrives_as_it_was_typed(old, new):
    assert understand(f'replace "{old}" with "{new}" in x then append "{new}" to y') == [
        Replace(old, new, "x"),
        Append("y", new),
    ]


WORDS = st.lists(
    st.sampled_from(
        [
            "replace",
            "with",
            "in",
            "then",
            "and",
            "run",
            '"',
            "“",
            "”",
            "'",
            "`",
            "```",
            "a",
            "x.js",
            ";",
            "\n",
            ",",
            ".",
            "to",
            "add",
            "  ",
            "wait 1",
            "&lt;",
            "<",
        ]
    ),
    max_size=25,
)


@given(WORDS.map(" ".join) | WORDS.map("".join) | st.text(max_size=100))
def test_no_words_make_it_fail_otherwise(words):
    try:
        steps = understand(words)
    except NotUnderstood as error:
        assert error.piece
    else:
        assert steps
        assert all(step.title for step in steps)
