"""Streamed messages and what the bot shows on a thread while it works."""

import pytest
from playground_fixtures import ADA, DM, WEB, running
from slack_sdk.errors import SlackApiError
from slack_sdk.models.messages.chunk import MarkdownTextChunk, PlanUpdateChunk, TaskUpdateChunk

READER = {"recipient_team_id": "T0PLAYGRND", "recipient_user_id": ADA}


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def refused(call) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


async def started(slack, root, **args) -> str:
    answer = await slack.client.chat_startStream(channel=WEB, thread_ts=root, **READER, **args)
    return answer["ts"]


async def test_the_sdks_own_helper_streams_text_and_tasks(slack):
    """chat_stream, as a bot uses it: people see the text and each task with its last status."""
    root = await slack.say("go")
    stream = await slack.client.chat_stream(channel=WEB, thread_ts=root, buffer_size=4, **READER)
    await stream.append(markdown_text="Looking ")
    task = {"id": "t1", "title": "Read files"}
    await stream.append(chunks=[PlanUpdateChunk(title="Plan"), TaskUpdateChunk(**task, status="in_progress")])
    shown = (await slack.thread(root))[1]
    assert (shown["streaming"], shown["text"]) == (True, "Plan\n[in_progress] Read files\nLooking ")
    done = TaskUpdateChunk(**task, status="complete", output="3 files")
    stopped = await stream.stop(chunks=[done, MarkdownTextChunk(text="and done.")])
    assert stopped["message"]["text"] == "Looking and done."
    shown = (await slack.thread(root))[1]
    expected = "Plan\n[complete] Read files\n3 files\nLooking and done."
    assert (shown["streaming"], shown["text"]) == (False, expected)


async def test_a_tasks_title_is_replaced_and_its_details_grow(slack):
    root = await slack.say("go")
    ts = await started(slack, root)
    for title, details in (("Try", "a"), ("Tried", "b")):
        chunk = TaskUpdateChunk(id="t", title=title, status="in_progress", details=details)
        await slack.client.chat_appendStream(channel=WEB, ts=ts, chunks=[chunk])
    assert (await slack.thread(root))[1]["text"] == "[in_progress] Tried\nab"


async def test_blocks_given_while_streaming_and_at_the_end_stand_below_the_text(slack):
    root = await slack.say("go")
    ts = await started(slack, root, chunks=[{"type": "markdown_text", "text": "text"}])
    chunk = {"type": "blocks", "blocks": [{"type": "divider"}]}
    await slack.client.chat_appendStream(channel=WEB, ts=ts, chunks=[chunk])
    button = {
        "type": "button",
        "action_id": "more",
        "text": {"type": "plain_text", "text": "More"},
        "value": "1",
    }
    blocks = [{"type": "actions", "elements": [button]}]
    await slack.client.chat_stopStream(channel=WEB, ts=ts, blocks=blocks)
    shown = (await slack.thread(root))[1]
    assert [block["type"] for block in shown["blocks"]] == ["markdown", "divider", "actions"]
    assert [action["action_id"] for action in shown["actions"]] == ["more"]


async def test_a_stopped_stream_takes_no_more_and_may_then_be_updated(slack):
    root = await slack.say("go")
    ts = await started(slack, root, markdown_text="a")
    busy = slack.client.chat_update(channel=WEB, ts=ts, text="x")
    assert await refused(busy) == "streaming_state_conflict"
    await slack.client.chat_stopStream(channel=WEB, ts=ts)
    for late in (
        slack.client.chat_appendStream(channel=WEB, ts=ts, markdown_text="b"),
        slack.client.chat_stopStream(channel=WEB, ts=ts),
    ):
        assert await refused(late) == "message_not_in_streaming_state"
    await slack.client.chat_update(channel=WEB, ts=ts, text="instead")
    assert (await slack.thread(root))[1]["text"] == "instead"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "missing_recipient_team_id"),
        ({"recipient_team_id": "T0PLAYGRND"}, "missing_recipient_user_id"),
        ({**READER, "recipient_team_id": "T1"}, "team_not_found"),
        ({**READER, "recipient_user_id": "U1"}, "user_not_found"),
        ({**READER, "thread_ts": "1.000000"}, "invalid_thread_ts"),
        ({**READER, "task_display_mode": "both"}, "invalid_arguments"),
        ({**READER, "markdown_text": "x" * 12_001}, "msg_too_long"),
        ({**READER, "chunks": "["}, "invalid_chunks"),
        ({**READER, "chunks": {"type": "markdown_text"}}, "invalid_chunks"),
        ({**READER, "chunks": [{"type": "song"}]}, "invalid_chunks"),
        ({**READER, "chunks": [{"type": "markdown_text", "text": "x" * 12_001}]}, "msg_too_long"),
        ({**READER, "chunks": [{"type": "blocks", "blocks": [{"type": "bogus"}]}]}, "invalid_blocks"),
        (
            {**READER, "chunks": [{"type": "task_update", "id": "1", "title": "t", "status": "completed"}]},
            "invalid_chunks",
        ),
        (
            {
                **READER,
                "chunks": [{"type": "task_update", "id": "1", "title": "t" * 257, "status": "complete"}],
            },
            "invalid_chunks",
        ),
        (
            {**READER, "markdown_text": "a", "chunks": [{"type": "markdown_text", "text": "b"}]},
            "cannot_provide_both_markdown_text_and_chunks",
        ),
    ],
)
async def test_a_stream_that_cannot_start_is_refused_with_slacks_name(slack, args, error):
    root = await slack.say("go")
    call = slack.client.api_call("chat.startStream", json={"channel": WEB, "thread_ts": root, **args})
    assert await refused(call) == error
    assert len(await slack.thread(root)) == 1


async def test_a_stream_stays_with_text_or_chunks(slack):
    ts = await started(slack, await slack.say("go"), markdown_text="a")
    chunk = [MarkdownTextChunk(text="b")]
    mixed = slack.client.chat_appendStream(channel=WEB, ts=ts, chunks=chunk)
    assert await refused(mixed) == "streaming_mode_mismatch"
    assert await refused(slack.client.chat_appendStream(channel=WEB, ts=ts)) == "no_text"


async def test_only_the_bots_own_streams_can_be_fed(slack):
    theirs = await slack.say("mine")
    call = slack.client.chat_appendStream(channel=WEB, ts=theirs, markdown_text="x")
    assert await refused(call) == "message_not_owned_by_app"
    gone = slack.client.chat_appendStream(channel=WEB, ts="1.000000", markdown_text="x")
    assert await refused(gone) == "message_not_found"
    plain = (await slack.client.chat_postMessage(channel=WEB, text="plain"))["ts"]
    call = slack.client.chat_appendStream(channel=WEB, ts=plain, markdown_text="x")
    assert await refused(call) == "message_not_in_streaming_state"


async def test_a_direct_message_needs_no_recipient(slack):
    root = await slack.say("hi", channel=DM)
    answer = await slack.client.chat_startStream(channel=DM, thread_ts=root, markdown_text="hello")
    await slack.client.chat_stopStream(channel=DM, ts=answer["ts"])
    assert (await slack.thread(root, channel=DM))[1]["text"] == "hello"


async def test_an_expired_stream_refuses_from_then_on(slack):
    """As Slack ends streams after some minutes; here when asked to."""
    root = await slack.say("go")
    ts = await started(slack, root, markdown_text="a")
    await slack.act("fault", method="chat.appendStream", kind="stream_expired", times=1)
    for _ in range(2):
        call = slack.client.chat_appendStream(channel=WEB, ts=ts, markdown_text="b")
        assert await refused(call) == "message_not_in_streaming_state"
    shown = (await slack.thread(root))[1]
    assert (shown["streaming"], shown["text"]) == (False, "a")


async def test_a_session_has_a_status_and_a_title_given_at_its_start(slack):
    root = await slack.say("go")
    assert await slack.status(root) is None
    session = {"channel_id": WEB, "thread_ts": root}
    answer = await slack.client.agents_sessions_setStatus(**session, status="processing", title="First")
    assert (answer["agent_status"], answer["title"]) == ("processing", "First")
    await slack.client.agents_sessions_setStatus(**session, status="suspended", title="Ignored")
    status = await slack.status(root)
    assert (status["status"], status["title"]) == ("suspended", "First")
    await slack.client.agents_sessions_rename(**session, title="Second")
    assert (await slack.status(root))["title"] == "Second"


async def test_a_refused_stop_changes_nothing(slack):
    """All or nothing: the stream is still open, the session as it was."""
    root = await slack.say("go")
    ts = await started(slack, root, markdown_text="a")
    stop = {"channel": WEB, "ts": ts, "markdown_text": "b", "session_status": "active"}
    wrong = slack.client.api_call("chat.stopStream", json={**stop, "metadata": "{"})
    assert await refused(wrong) == "invalid_metadata_format"
    shown = (await slack.thread(root))[1]
    assert (shown["streaming"], shown["text"]) == (True, "a")
    assert await slack.status(root) is None


async def test_stopping_a_stream_can_move_the_session_on(slack):
    root = await slack.say("go")
    await slack.client.agents_sessions_setStatus(channel_id=WEB, thread_ts=root, status="processing")
    ts = await started(slack, root, markdown_text="a")
    await slack.client.chat_stopStream(channel=WEB, ts=ts, session_status="active")
    assert (await slack.status(root))["status"] == "active"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"status": "processing"}, "invalid_thread_ts"),
        ({"status": "processing", "thread_ts": "1.000000"}, "invalid_thread_ts"),
        ({"status": "busy", "thread_ts": "ROOT"}, "invalid_arguments"),
        ({"thread_ts": "ROOT"}, "invalid_arguments"),
        ({"status": "active", "thread_ts": "ROOT", "title": "x" * 201}, "invalid_arguments"),
        ({"status": "active", "thread_ts": "ROOT", "channel_id": "C1"}, "channel_not_found"),
    ],
)
async def test_a_session_status_that_makes_no_sense_is_refused(slack, args, error):
    root = await slack.say("go")
    args = {"channel_id": WEB, **{key: root if value == "ROOT" else value for key, value in args.items()}}
    assert await refused(slack.client.api_call("agents.sessions.setStatus", json=args)) == error


async def test_a_session_that_does_not_exist_cannot_be_renamed(slack):
    root = await slack.say("go")
    call = slack.client.agents_sessions_rename(channel_id=WEB, thread_ts=root, title="x")
    assert await refused(call) == "session_not_found"


async def test_a_status_text_goes_away_with_the_bots_next_message(slack):
    root = await slack.say("go")
    thread = {"channel_id": WEB, "thread_ts": root}
    await slack.client.assistant_threads_setStatus(
        **thread, status="is thinking…", loading_messages=["a", "b"]
    )
    status = await slack.status(root)
    assert (status["text"], status["loading_messages"]) == ("is thinking…", ["a", "b"])
    await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="done")
    assert await slack.status(root) is None
    await slack.client.assistant_threads_setStatus(**thread, status="again")
    await slack.client.assistant_threads_setStatus(**thread, status="")
    assert await slack.status(root) is None


async def test_titles_and_prompts_of_a_thread_are_accepted_and_checked(slack):
    root = await slack.say("hi", channel=DM)
    thread = {"channel_id": DM, "thread_ts": root}
    assert (await slack.client.assistant_threads_setTitle(**thread, title="Title"))["ok"]
    prompts = [{"title": "One", "message": "do one"}]
    assert (await slack.client.assistant_threads_setSuggestedPrompts(**thread, prompts=prompts))["ok"]
    five = slack.client.assistant_threads_setSuggestedPrompts(**thread, prompts=prompts * 5)
    assert await refused(five) == "invalid_arguments"
