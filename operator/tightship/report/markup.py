"""HTML and SVG whose text is escaped by construction: only this module makes markup.

A model's names and a child's messages are untrusted. Text becomes markup through `tag` alone,
which escapes it; what browsers or terminals would act on (control characters, marks that turn the
direction of writing, halves of surrogate pairs) is shown as U+FFFD.
"""

import html
import re
import unicodedata

_REPLACED = "\ufffd"
_SPACES = re.compile(r"\s+")
_ACTIVE = ("Cc", "Cf", "Cs")
_VOID = frozenset({"meta", "line", "circle", "path", "rect"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def visible(text: str) -> str:
    """The text with every character visible; line breaks, tabs and their runs become one space."""
    spaced = _SPACES.sub(" ", text)
    return "".join(_REPLACED if unicodedata.category(char) in _ACTIVE else char for char in spaced)


def escaped(text: str) -> Markup:
    """Text as markup; markup as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(visible(text)))


def tag(name: str, /, *children: str, **attributes: str) -> Markup:
    """One element. An attribute's underscores become hyphens; a last one is dropped (`class_`)."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    head = name + "".join(f' {key}="{escaped(value)}"' for key, value in named.items())
    if name in _VOID and not children:
        return Markup(f"<{head}/>" if name != "meta" else f"<{head}>")
    return Markup(f"<{head}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Children side by side."""
    return Markup("".join(escaped(child) for child in children))


def lines(*children: str) -> Markup:
    """Children below each other in the source, so that two pages can be compared by line."""
    return Markup("\n".join(escaped(child) for child in children if child))
