"""From a message to a repository: each step of the ladder, and what it says."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import (
    Person,
    Prompt,
    PromptId,
    PromptState,
    Repository,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    SessionId,
    ThreadMessage,
)
from bot.plugins import Plugins
from plugins.repo_classifier import Plugin
from plugins.repo_classifier.ladder import choose, keywords_in

WEB = Repository(
    "acme/storefront",
    description="The web shop: product pages, basket and checkout.",
    keywords=("checkout", "css"),
    channels=("#web", "C0WEB"),
)
API = Repository(
    "acme/orders-api",
    description="The service that stores orders.",
    keywords=("orders", "css"),
    channels=("api",),
)
OPS = Repository("tools/deploy.sh", description="How everything is put into production.")
FORK = Repository("ada/storefront")
ALL = (WEB, API, OPS)


def prompt(text: str, repository: str | None = None) -> Prompt:
    author = Person("U1", "T1", "Ada")
    return Prompt(
        PromptId(1),
        SessionId("s"),
        "slack",
        "C1:1",
        author,
        text,
        PromptState.RUNNING,
        1,
        0.0,
        repository=repository,
    )


def ask(
    text: str,
    *,
    repositories: tuple[Repository, ...] = ALL,
    current: str | None = None,
    channel: str = "random",
    channel_id: str = "C0RANDOM",
    thread: tuple[str, ...] = (),
    answer: str | None = None,
) -> RepositoryChoice | RepositoryAsk:
    messages = [ThreadMessage("U0BOB", "Bob", said, "1.0") for said in thread]
    return choose(
        RepositoryQuestion(prompt(text, answer), channel_id, channel, messages, repositories, current)
    )


def chosen(text: str, **more: object) -> str:
    verdict = ask(text, **more)
    assert isinstance(verdict, RepositoryChoice), verdict
    assert verdict.reason.startswith("because ")
    return verdict.name


def asked(text: str, **more: object) -> RepositoryAsk:
    verdict = ask(text, **more)
    assert isinstance(verdict, RepositoryAsk), verdict
    return verdict


# -- named -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "repo=acme/storefront fix the header",
        "fix the header repo=storefront",
        "fix the header REPO=Storefront.",
        "repo = acme/storefront, please",
        "repo=`acme/storefront` fix",
        "fix it in acme/storefront.",
        "fix it in `acme/storefront`, please",
        "In acme/storefront: fix it",
        "acme/storefront needs a new header",
        "see https://github.com/acme/storefront/pull/3",
        "clone <http://127.0.0.1:8080/acme/storefront.git|this>",
        "(acme/storefront)",
    ],
)
def test_a_repository_that_is_named_is_taken(text):
    assert chosen(text, channel="api") == "acme/storefront"


def test_a_name_may_hold_a_dot():
    assert chosen("repo=deploy.sh restart") == "tools/deploy.sh"
    assert chosen("tidy up in tools/deploy.sh.") == "tools/deploy.sh"


@pytest.mark.parametrize(
    "text",
    ["repo=acme/nothing fix", "repo=nothing fix", "fix it in acme/nothing", "repo=other/storefront fix"],
)
def test_an_unknown_name_is_asked_about_by_the_name_that_was_written(text):
    question = asked(text, channel="web")
    assert "nothing" in question.reason or "other/storefront" in question.reason
    assert "no repository that you can use here" in question.reason


@pytest.mark.parametrize(
    "text", ["repo=orders-api fix", "fix it in acme/orders-api", "repo=acme/orders-api x"]
)
def test_a_repository_the_author_may_not_use_is_as_unknown_as_one_that_does_not_exist(text):
    denied = asked(text, repositories=(WEB, OPS))
    absent = asked(text.replace("orders-api", "ordersxapi"), repositories=(WEB, OPS))
    assert denied.reason.replace("orders-api", "ordersxapi") == absent.reason
    assert set(denied.candidates) <= {WEB.name, OPS.name}


@pytest.mark.parametrize(
    "text", ["fix the typo in src/header", "in docs/guide.md say more", "and/or", "see a/b/c"]
)
def test_a_path_is_no_repository(text):
    assert chosen(text, channel="web") == "acme/storefront"


def test_a_short_name_that_two_share_is_asked_about():
    question = asked("repo=storefront fix", repositories=(*ALL, FORK))
    assert question.candidates == ("acme/storefront", "ada/storefront")
    assert chosen("repo=ada/storefront fix", repositories=(*ALL, FORK)) == "ada/storefront"


@pytest.mark.parametrize(
    "text",
    [
        "repo=storefront repo=orders-api",
        "in acme/storefront and in acme/orders-api",
        "acme/storefront acme/orders-api",
    ],
)
def test_two_names_are_asked_about(text):
    assert asked(text).candidates == ("acme/storefront", "acme/orders-api")


def test_the_same_name_twice_is_one_name():
    assert chosen("repo=storefront, I mean repo=Storefront") == "acme/storefront"


def test_repo_in_another_word_is_not_meant():
    assert chosen("monorepo=deploy.sh, says the css of the checkout") == "acme/storefront"


def test_what_is_written_comes_back_short_and_without_markup():
    question = asked("repo=" + "x" * 5000 + "<!channel>")
    assert len(question.reason) < 200
    assert "<" not in question.reason
    assert "<" not in asked("repo=<!channel> fix").reason


# -- answered ----------------------------------------------------------------------------------------


def test_an_answer_counts_more_than_all_else():
    verdict = ask("repo=orders-api fix the orders", answer="acme/storefront", channel="api")
    assert verdict == RepositoryChoice("acme/storefront", "because you chose it")


def test_an_answer_that_may_not_be_used_is_asked_again():
    assert "no repository that you can use" in asked("fix", answer="acme/secret").reason


# -- this thread's -----------------------------------------------------------------------------------


def test_a_thread_stays_where_it_is():
    verdict = ask("now the orders, as in css", current="acme/storefront", channel="api")
    assert verdict == RepositoryChoice("acme/storefront", "because this thread already works there")


@pytest.mark.parametrize("text", ["repo=orders-api now", "now in acme/orders-api"])
def test_a_named_other_repository_changes_the_thread_and_says_so(text):
    verdict = ask(text, current="acme/storefront")
    assert verdict.name == "acme/orders-api"
    assert verdict.reason == "because you named it (this thread worked in `acme/storefront` until now)"


def test_a_change_does_not_give_away_where_the_thread_was():
    verdict = ask("repo=orders-api now", current="acme/secret")
    assert verdict.name == "acme/orders-api"
    assert "secret" not in verdict.reason


def test_naming_the_thread_s_own_repository_changes_nothing():
    assert ask("repo=storefront go on", current="acme/storefront").reason == "because you named it"


def test_merely_mentioning_another_repository_does_not_move_a_thread():
    assert chosen("acme/orders-api does it better", current="acme/storefront") == "acme/storefront"


def test_a_thread_whose_repository_the_author_may_not_use_is_asked_about_without_its_name():
    question = asked("go on", current="acme/secret", channel="web")
    assert "secret" not in question.reason + str(question.candidates)


# -- keywords, channel, the only one -----------------------------------------------------------------


def test_the_repository_of_a_keyword_is_taken():
    verdict = ask("the Checkout is broken", channel="api")
    assert verdict == RepositoryChoice("acme/storefront", "because you wrote “checkout”")


def test_more_keywords_win():
    assert chosen("css of the orders page") == "acme/orders-api"


def test_a_tie_is_asked_about():
    assert asked("the css is broken", channel="web").candidates == ("acme/storefront", "acme/orders-api")


@pytest.mark.parametrize("text", ["checkouts", "precheckout", "accsss", "check out", "preorders_x"])
def test_a_keyword_is_a_whole_word(text):
    assert chosen(text, channel="api", repositories=(WEB, API)) == "acme/orders-api"


@pytest.mark.parametrize(
    ("keyword", "text"),
    [("c++", "in C++ it works"), ("straße", "die STRASSE"), (".net", "for .NET"), ("a b", "A B!")],
)
def test_a_keyword_may_be_anything_a_person_writes(keyword, text):
    assert keywords_in(text, [keyword]) == [keyword]


@pytest.mark.parametrize(
    "where", [{"channel": "web"}, {"channel": "Web"}, {"channel_id": "C0WEB", "channel": ""}]
)
def test_a_channel_has_its_default(where):
    assert chosen("do something", **where) == "acme/storefront"


def test_the_channel_is_named_in_the_reason():
    assert ask("do something", channel="web").reason == "because it is the repository of #web"


def test_a_channel_of_two_repositories_is_asked_about():
    both = (WEB, dataclasses.replace(API, channels=("web",)))
    assert asked("do something", channel="web", repositories=both).candidates == (WEB.name, API.name)


def test_the_only_one_there_is_needs_no_question():
    verdict = ask("do something", repositories=(OPS,))
    assert verdict == RepositoryChoice("tools/deploy.sh", "because it is the only one you can use here")


def test_none_at_all_says_so():
    question = asked("repo=acme/storefront x", repositories=())
    assert question.reason == "There is no repository here that you may use."


# -- the question ------------------------------------------------------------------------------------


def test_the_likeliest_come_first_in_the_question():
    assert asked("the basket forgets its products").candidates == ("acme/storefront",)
    assert asked("where is an order stored?").candidates == ("acme/orders-api",)


def test_the_thread_helps_when_the_message_says_nothing():
    assert asked("please fix that", thread=("the basket is always empty",)).candidates == ("acme/storefront",)


def test_the_message_counts_more_than_the_thread():
    candidates = asked("production is down", thread=("is the basket to blame?",)).candidates
    assert candidates == ("tools/deploy.sh", "acme/storefront")


def test_no_clue_means_no_candidates():
    assert asked("hello?").candidates == ()


def test_at_most_five_candidates_are_put_first():
    many = tuple(Repository(f"acme/basket-{number}") for number in range(9))
    assert asked("the basket", repositories=many).candidates == tuple(each.name for each in many[:5])


@given(st.text(max_size=300), st.sampled_from([None, "acme/storefront", "acme/secret"]), st.text(max_size=20))
def test_only_usable_repositories_are_ever_named(text, current, channel):
    verdict = ask(text, current=current, channel=channel)
    names = (verdict.name,) if isinstance(verdict, RepositoryChoice) else verdict.candidates
    assert set(names) <= {each.name for each in ALL}


@pytest.mark.timeout(20)  # what is linear needs milliseconds; a quadratic pattern would need minutes
@pytest.mark.parametrize(
    "piece", ["a/", "repo=", "in ", "a.", "in a/b ", "https://a/", "<", "x" * 50 + "/", "in\t "]
)
def test_a_long_message_is_no_burden(piece):
    assert isinstance(ask(piece * (200_000 // len(piece))), RepositoryAsk)


async def test_as_a_plugin_it_lets_every_other_answer_first():
    from bot import hookimpl

    class Oracle:
        @hookimpl
        def choose_repository(self, question):
            return (
                RepositoryChoice("acme/orders-api", "because I know")
                if "oracle" in question.prompt.text
                else None
            )

    plugins = Plugins(())
    plugins.register(Oracle(), "oracle")
    plugins.register(Plugin(), "repo_classifier")
    for text, name in (("oracle: checkout", "acme/orders-api"), ("checkout", "acme/storefront")):
        question = RepositoryQuestion(prompt(text), "C1", "x", (), ALL, None)
        assert (await plugins.first("choose_repository", question=question)).name == name
