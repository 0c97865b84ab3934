"""Markdown to safe HTML, for descriptions, comments and README files."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

# GitHub does not show HTML comments; people and programs leave markers in them.
_COMMENT = re.compile(r"^[ ]{0,3}<!--.*?-->[ \t]*$", re.DOTALL | re.MULTILINE)


def _link_open(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    tokens[at].attrSet("rel", "nofollow noopener noreferrer")
    return renderer.renderToken(tokens, at, options, env)


def _renderer() -> MarkdownIt:
    # No raw HTML, and no images: nothing on these pages may load from elsewhere.
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    markdown.add_render_rule("link_open", _link_open)
    return markdown


_MARKDOWN = _renderer()


def to_html(text: str) -> Markup:
    """HTML that is safe to put into a page, whoever wrote the text."""
    return Markup(_MARKDOWN.render(_COMMENT.sub("", text)))  # noqa: S704 - html=False escapes all raw HTML
