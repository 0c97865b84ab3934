"""The GitHub side's pages, fetched as a browser would."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_playground_github_kit import ADA, BEN, STOREFRONT, Local, running

from bot.playground.github import Permission
from bot.playground.github.page_frame import ago
from bot.playground.household import household


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with running(tmp_path) as kit:
        yield kit


async def page(local: Local, path: str, login: str = "ada-sample") -> str:
    status, text, _ = await local.http("GET", path, headers={"Cookie": f"playground_viewer={login}"})
    assert status == 200, text
    return text


async def submit(
    local: Local, path: str, login: str = "ben-sample", headers: dict[str, str] | None = None, **fields: str
) -> tuple[int, str]:
    """Send one of the forms, with the token of a page fetched before."""
    found = re.search(r'name="token" value="([^"]+)"', await page(local, "/"))
    assert found is not None
    fields = {"token": found[1], "login": login, **fields}
    sent = {"Origin": local.side.url} if headers is None else headers
    status, text, _ = await local.http("POST", path, data=fields, headers=sent)
    return status, text


async def test_the_first_page_lists_the_repositories(local: Local) -> None:
    text = await page(local, "/")
    assert 'href="/acme/storefront"' in text and 'href="/acme/ledger"' in text
    assert "Local playground" in text


async def test_a_repository_shows_files_readme_and_pull_requests(local: Local) -> None:
    number = await local.pull()
    text = await page(local, f"/{STOREFRONT}")
    assert (
        f'href="/{STOREFRONT}/tree/main/src"' in text and f'href="/{STOREFRONT}/blob/main/README.md"' in text
    )
    assert "<h1>Acme Storefront</h1>" in text
    assert f'href="/{STOREFRONT}/pull/{number}"' in text


async def test_folders_files_and_commits_have_pages(local: Local) -> None:
    sha = await local.branch("feature/deep")
    assert "header.js" in await page(local, f"/{STOREFRONT}/tree/feature/deep/src")
    assert "Hello" in await page(local, f"/{STOREFRONT}/blob/feature/deep/feature/deep.txt")
    assert "Update feature/deep.txt" in await page(local, f"/{STOREFRONT}/commit/{sha}")
    first = await local.repo(ADA, lambda repo: list(repo.get_commits())[-1].sha)
    assert "Start the storefront" in await page(local, f"/{STOREFRONT}/commit/{first}")
    _, text, headers = await local.http("GET", f"/{STOREFRONT}/raw/main/index.html")
    assert text.startswith("<!doctype html>") and headers["Content-Type"].startswith("text/plain")


async def test_every_address_the_api_gives_for_people_has_a_page(local: Local) -> None:
    number = await local.pull()
    raw = await local.repo(ADA, lambda repo: repo.get_pull(number).raw_data)
    files = await local.repo(ADA, lambda repo: repo.get_pull(number).get_files()[0].raw_data)
    commit = await local.repo(ADA, lambda repo: repo.get_commit("main").raw_data)
    addresses = [raw["html_url"], raw["diff_url"], raw["base"]["repo"]["html_url"], commit["html_url"]]
    addresses += [files["blob_url"], files["raw_url"], raw["user"]["avatar_url"], raw["user"]["html_url"]]
    for address in addresses:
        status, _, _ = await local.http("GET", address.removeprefix(local.side.url))
        assert status in (200, 303), address


async def test_a_pull_request_says_who_authored_and_who_committed(local: Local, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    await local.git("clone", "-q", local.clone_url(), clone)
    (clone / "src" / "header.js").write_text("const GREETING = 1 < 2;\n")
    await local.git("-C", clone, "config", "author.name", "Ben Sample")
    await local.git("-C", clone, "config", "author.email", BEN.identity.email)
    await local.git("-C", clone, "switch", "-q", "-c", "work")
    await local.git("-C", clone, "commit", "-q", "-a", "-m", "Compare")
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(BEN, lambda repo: repo.create_pull("main", "work", title="Compare").number)
    text = await page(local, f"/{STOREFRONT}/pull/{number}")
    assert "<b>Ben Sample</b> authored and <b>Ada Sample</b> committed" in text
    assert "1 &lt; 2" in text and 'class="add"' in text and 'class="delete"' in text
    assert '<span class="count-add">+1</span> <span class="count-delete">−16</span>' in text


async def test_the_demos_bot_commits_under_an_address_by_which_its_face_is_known(
    local: Local, tmp_path: Path
) -> None:
    settings = household(tmp_path / "household", port=0).bot_table()["git"]
    clone = tmp_path / "clone"
    await local.git("clone", "-q", local.clone_url(), clone)
    await local.git("-C", clone, "config", "committer.name", settings["bot_name"])
    await local.git("-C", clone, "config", "committer.email", settings["bot_email"])
    await local.git("-C", clone, "switch", "-q", "-c", "work")
    await local.git("-C", clone, "commit", "-q", "--allow-empty", "-m", "As the bot")
    await local.git("-C", clone, "push", "-q", "origin", "work")
    text = await page(local, f"/{STOREFRONT}/commit/work")
    assert "and <b>Threadsmith</b> committed" in text
    assert "/-/avatars/threadsmith-bot.svg" in text and "/-/avatars/unknown.svg" not in text


async def test_what_people_write_cannot_act_as_html(local: Local) -> None:
    await local.branch("topic", '<script>alert("file")</script>\n')
    links = "[x](javascript:alert(2)) ![y](http://evil.example/z.png)"
    evil = f"<script>alert(1)</script>\n\n{links}\n\n<!-- marker -->"
    number = await local.repo(
        ADA, lambda repo: repo.create_pull("main", "topic", title="<img src=x>", body=evil).number
    )
    await local.repo(BEN, lambda repo: repo.get_pull(number).create_issue_comment(evil))
    text = await page(local, f"/{STOREFRONT}/pull/{number}")
    assert "<script" not in text and "<img src=x" not in text
    assert re.findall(r'src="(?!/-/)', text) == []
    assert 'href="javascript' not in text and "marker" not in text
    assert "&lt;script&gt;alert(1)" in text


async def test_pages_load_nothing_from_elsewhere_and_run_no_scripts(local: Local) -> None:
    for path in ("/", f"/{STOREFRONT}", "/-/github.css", "/nowhere/at/all"):
        _, text, headers = await local.http("GET", path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert " style=" not in text and "<script" not in text


async def test_the_buttons_merge_close_and_reopen(local: Local) -> None:
    number = await local.pull()
    address = f"/{STOREFRONT}/pull/{number}"
    assert "This can be merged" in await page(local, address)
    assert (await submit(local, f"{address}/close"))[0] == 303
    assert "Closed without merging" in await page(local, address)
    assert (await submit(local, f"{address}/reopen"))[0] == 303
    assert (await submit(local, f"{address}/merge"))[0] == 303
    assert "Merged" in await page(local, address)
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.merged, pull.merged_by.login) == (True, "ben-sample")


async def test_people_comment_and_review_on_the_page(local: Local) -> None:
    address = f"/{STOREFRONT}/pull/{await local.pull()}"
    assert (await submit(local, f"{address}/say", state="comment", body="*Nice*"))[0] == 303
    assert (await submit(local, f"{address}/say", state="approved", body=""))[0] == 303
    text = await page(local, address)
    assert "<em>Nice</em>" in text and "approved this" in text
    status, text = await submit(local, f"{address}/say", login="ada-sample", state="approved", body="")
    assert status == 422 and "Can not approve your own pull request" in text


async def test_a_conflict_is_explained_on_the_page(local: Local) -> None:
    address = f"/{STOREFRONT}/pull/{await local.pull()}"
    await local.side.commit(STOREFRONT, "main", "ben-sample", {"topic.txt": "Something else\n"})
    assert "There are conflicts" in await page(local, address)
    status, text = await submit(local, f"{address}/merge")
    assert status == 405 and "not mergeable" in text


@pytest.mark.proof("playground")
async def test_forms_from_elsewhere_are_refused(local: Local) -> None:
    number = await local.pull()
    address = f"/{STOREFRONT}/pull/{number}/merge"
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert (await submit(local, address, headers=headers))[0] == 403
    cross = {"Origin": local.side.url, "Sec-Fetch-Site": "cross-site"}
    assert (await submit(local, address, headers=cross))[0] == 403
    assert (await submit(local, address, token="old"))[0] == 403
    assert not await local.repo(ADA, lambda repo: repo.get_pull(number).merged)


async def test_only_people_who_may_can_merge(local: Local) -> None:
    number = await local.pull()
    address = f"/{STOREFRONT}/pull/{number}/merge"
    assert (await submit(local, address, login="threadsmith-bot"))[0] == 422
    local.side.grant(STOREFRONT, "ben-sample", Permission.READ)
    assert (await submit(local, address))[0] == 403
    local.side.grant(STOREFRONT, "ben-sample", Permission.NONE)
    assert (await submit(local, address))[0] == 404


async def test_the_page_remembers_whom_it_acts_as_and_goes_back_only_to_itself(local: Local) -> None:
    for back, expected in (
        ("/acme/ledger", "/acme/ledger"),
        ("//evil.example", "/"),
        ("http://evil.example", "/"),
    ):
        text = await page(local, "/")
        token = re.search(r'name="token" value="([^"]+)"', text)
        assert token is not None
        status, _, headers = await local.http(
            "POST",
            "/-/viewer",
            data={"token": token[1], "login": "ben-sample", "back": back},
            headers={"Origin": local.side.url},
        )
        assert (status, headers["Location"]) == (303, expected)
        assert "playground_viewer=ben-sample" in headers["Set-Cookie"]
    address = f"/{STOREFRONT}/pull/{await local.pull()}"
    assert "Merge as Ben" in await page(local, address, "ben-sample")


async def test_a_link_from_the_chat_names_who_looks_and_the_page_remembers_it(local: Local) -> None:
    address = f"/{STOREFRONT}/pull/{await local.pull()}"
    cookie = {"Cookie": "playground_viewer=ada-sample"}
    status, text, headers = await local.http("GET", f"{address}?as=ben-sample", headers=cookie)
    assert status == 200 and "Merge as Ben" in text
    assert "playground_viewer=ben-sample" in headers["Set-Cookie"]
    assert f'name="back" value="{address}"' in text  # a later choice is not undone on the way back
    for nobody in ("", "nobody", "threadsmith-bot", "<b>"):
        status, text, headers = await local.http("GET", address, headers=cookie, params={"as": nobody})
        assert status == 200 and "Merge as Ada" in text and "Set-Cookie" not in headers


@pytest.mark.proof("playground")
async def test_pages_are_only_for_this_host(local: Local) -> None:
    assert (await local.http("GET", "/", headers={"Host": "evil.example"}))[0] == 403
    port = local.side.url.rsplit(":", 1)[1]
    assert (await local.http("GET", "/", headers={"Host": f"localhost:{port}"}))[0] == 200


async def test_what_is_not_there_is_a_readable_page(local: Local) -> None:
    for path in (
        f"/{STOREFRONT}/pull/9",
        "/acme/none",
        f"/{STOREFRONT}/blob/main/../x",
        f"/{STOREFRONT}/tree/none",
    ):
        status, text, _ = await local.http("GET", path)
        assert status == 404 and "Nothing here" in text


async def test_binary_renamed_and_empty_files_are_named(local: Local, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    await local.git("clone", "-q", local.clone_url(), clone)
    await local.git("-C", clone, "switch", "-q", "-c", "work")
    (clone / "logo.png").write_bytes(b"\x89PNG\0\0\1")
    (clone / "empty.txt").touch()
    (clone / 'odd "name" ü.txt').write_text("x\n")
    await local.git("-C", clone, "mv", "src/money.js", "src/price.js")
    await local.git("-C", clone, "add", ".")
    await local.git("-C", clone, "commit", "-q", "-m", "Change files of all kinds")
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(ADA, lambda repo: repo.create_pull("main", "work", title="Kinds").number)
    files = await local.repo(
        ADA,
        lambda repo: {f.filename: (f.status, f.previous_filename) for f in repo.get_pull(number).get_files()},
    )
    assert files == {
        "empty.txt": ("added", None),
        "logo.png": ("added", None),
        'odd "name" ü.txt': ("added", None),
        "src/price.js": ("renamed", "src/money.js"),
    }
    text = await page(local, f"/{STOREFRONT}/pull/{number}")
    for words in ("A binary file", "Only the name changed", "An empty file", "odd &#34;name&#34; ü.txt"):
        assert words in text


def test_times_are_said_as_people_say_them() -> None:
    assert ago("2020-02-03T04:05:06Z") == "on 3 Feb 2020"
