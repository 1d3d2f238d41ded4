"""Page templates: addresses without ids, dates and queries, so that views of the same kind of page are grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import polars as pl

from pulseframes.errors import InvalidQuery

Rules: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]

#: At the end of a rule: any further segments, or none.
_REST: Final = "/**"
#: Marks the result of a rule, which is not normalised further.
_DONE: Final = "\x01"
#: Any text within a segment. During normalisation, a line break replaces each slash, so that a pattern sees a segment per line.
_TEXT: Final = f"[^\n{_DONE}]"


def _with_a_digit(letters: str, least: int) -> str:
    """Return a pattern of at least N letters and digits, with a digit among the first N."""
    patterns = (f"[{letters}]{{{n}}}[0-9][{letters}0-9]{{{least - 1 - n},}}" for n in range(least))
    return f"(?:{'|'.join(patterns)})"


_HEX: Final = _with_a_digit("A-Fa-f", 8)
_UUID: Final = r"(?:\{|%7[Bb])?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?:\}|%7[Dd])?"
_YEAR, _MONTH, _DAY = "(?:19|20)[0-9]{2}", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE: Final = f"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T[0-9A-Za-z:.%+-]*)?)?|\n{_MONTH}\n{_DAY})"
_ID: Final = "|".join(
    [
        "[0-9]+(?:[-_,][0-9]+)*",
        "[A-Za-z]{1,4}[0-9]{5,}",
        _UUID,
        _HEX,
        _with_a_digit("A-Z", 8),
        _with_a_digit("A-Za-z_", 20),
        f"{_TEXT}*(?:@|%40){_TEXT}*",
    ]
)
#: What is removed with an id: a file extension, and a trailing hash of a route.
_END: Final = r"(?:\.[A-Za-z][A-Za-z0-9]{1,4})?(?:#!?)?$"

_CLEANED: Final = (
    (r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "/"),
    (r"(?:\?|%3[Ff])[^#]*|;[^/#?]*", ""),  # the query, and a segment's parameters
    (r"(?s)#(?:[^!/].*|![^/].*)", ""),  # the fragment, unless it is a route
    (f"[/\n{_DONE}]+", "\n"),
    (r"(?:\s|#!?)+$", ""),
)
_NORMALISED: Final = (
    (f"(?m)^([A-Za-z_][A-Za-z0-9_.-]{{0,50}})={_TEXT}*", "$1={id}"),
    (f"(?m)^{_DATE}{_END}", "{date}"),
    (f"(?m)^(?:{_ID}){_END}", "{id}"),
    (f"(?m)^(?:[0-9]{{3,}}|{_UUID}|{_HEX})[-_]{_TEXT}*", "{id}-{slug}"),
    (f"(?m)^{_TEXT}+[-_](?:[0-9]{{5,}}|{_HEX}){_END}", "{slug}-{id}"),
    (f"(?m)^{_TEXT}{{101,}}", "{slug}"),
    ("\n", "/"),
    (f"^{_DONE}?$", "/"),
)


def page_template(page: str | pl.Expr = "page", rules: Rules | None = None) -> pl.Expr:
    """Return the templates of page addresses: ``https://shop.example/product/123?ref=x`` becomes ``/product/{id}``.

    Only the path is kept. Scheme, host, query, fragment and a trailing slash are removed, and double slashes merged; a fragment that
    is a route (``/#/cart``) stays. Then each segment of the path is normalised:

    ============================================================  =============================
    segment                                                       becomes
    ============================================================  =============================
    a number, even a year; several: ``12-7``                      ``{id}``
    a UUID; 8 or more hex digits, unless all are letters          ``{id}``
    ``ORD10482``: up to 4 letters, then 5 or more digits          ``{id}``
    8 or more capitals and digits; 20 or more letters and digits  ``{id}``
    anything with ``@``, such as an e-mail address                ``{id}``
    ``2026-11-01``, ``2026-11``, ``2026/11/01``                   ``{date}``
    ``40592-wool-can``: 3 or more digits, or hex, then text       ``{id}-{slug}``
    ``wool-can-40592``: text, then 5 or more digits, or hex       ``{slug}-{id}``
    ``page=2``                                                    ``page={id}``
    more than 100 characters                                      ``{slug}``
    ============================================================  =============================

    A file extension is removed with an id: ``/report/7.pdf`` becomes ``/report/{id}``. Everything else stays, including case and
    percent signs: words, ``v2``, ``en-GB``, ``index.html``; and also ``/journal/pruning-roses`` and ``/c/garden-tools``, because no
    general rule can distinguish an article from a category. Your own rules can.

    Parameters
    ----------
    page : str or polars.Expr
        The column of addresses, or an expression for them. Any string is accepted; null stays null, and an empty string
        becomes ``/``.
    rules : mapping or sequence of pairs, or None
        Patterns of whole paths, and the templates for paths that match. The first match wins; other paths are normalised as
        above. In a pattern, ``*`` matches any text within a segment, and ``/**`` at the end any further segments, or none; case
        matters. A template is used as written, except that ``/**`` at its end stands for these segments, normalised.

    Returns
    -------
    polars.Expr
        The templates, as strings. The template of a template is the template itself, unless a rule matches it.

    Raises
    ------
    InvalidQuery
        If a rule is not valid, or cannot match any path.

    Examples
    --------
    >>> views = pl.DataFrame({"page": ["/p/40592-wool-can?ref=x", "/journal/pruning-roses", "/en-GB/orders/7/"]})
    >>> views.select(pf.page_template()).to_series().to_list()
    ['/p/{id}-{slug}', '/journal/pruning-roses', '/en-GB/orders/{id}']
    >>> rules = {"/journal/*": "/journal/{article}", "/en-GB/**": "/{language}/**"}
    >>> views.select(pf.page_template(rules=rules)).to_series().to_list()
    ['/p/{id}-{slug}', '/journal/{article}', '/{language}/orders/{id}']
    """
    if not isinstance(page, str | pl.Expr):
        raise InvalidQuery(
            f"page must be a column name or a polars expression, not {type(page).__name__}.", argument="page"
        )
    address = pl.col(page) if isinstance(page, str) else page
    template = address.cast(pl.String).str.strip_chars()
    compiled = [_compiled(pattern, result) for pattern, result in _pairs(rules)]
    for pattern, result in (*_CLEANED, *compiled, *_NORMALISED):
        template = template.str.replace_all(pattern, result)
    return template.str.replace(_DONE, "", literal=True) if compiled else template


def with_page_template(views: pl.DataFrame, rules: Rules | None = None) -> pl.DataFrame:
    """Add the ``page_template`` of each page view; an address that occurs often is normalised once."""
    pages = views.select(pl.col("page").unique()).with_columns(page_template("page", rules).alias("page_template"))
    return views.drop("page_template", strict=False).join(pages, on="page", how="left", maintain_order="left")


def _pairs(rules: Rules | None) -> list[tuple[str, str]]:
    """Return the rules as pairs of strings."""
    if isinstance(rules, str | bytes) or not isinstance(rules, Mapping | Sequence | None):
        raise _wrong(rules, "pass a mapping of patterns to templates, or a sequence of pairs")
    pairs = list(rules.items() if isinstance(rules, Mapping) else rules or ())
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:  # noqa: PLR2004  a pair
            raise _wrong(pair, "a rule is a pair of a pattern and a template")
        for text in pair:
            if not isinstance(text, str) or not text.strip():
                raise _wrong(text, "pattern and template must be strings, and not empty")
    return pairs


def _compiled(pattern: str, template: str) -> tuple[str, str]:
    """Return a rule as a regular expression and its replacement."""
    for text in (pattern, template):
        body = text.removesuffix(_REST)
        if "**" in body or ("*" in body and text is template):
            raise _wrong(text, "'**' is allowed only at the end, after a slash, and '*' only in patterns")
        if body != text and not pattern.endswith(_REST):
            raise _wrong(text, f"its '/**' needs a '/**' at the end of the pattern {pattern!r}")
        if "?" in text or "://" in text or "\n" in text or _DONE in text:
            raise _wrong(text, "rules match only the path, without scheme, host and query")
    words = "[^\n]*".join(pl.escape_regex(word) for word in pattern.removesuffix(_REST).rstrip("/").split("*"))
    rest = r"(?P<rest>\n.*)?" if pattern.endswith(_REST) else ""
    result = template.removesuffix(_REST).replace("$", "$$") + ("${rest}" if template.endswith(_REST) else "")
    return rf"(?s)\A{words}{rest}\z".replace("/", r"\n"), _DONE + result


def _wrong(given: object, why: str) -> InvalidQuery:
    return InvalidQuery(f"rules: {given!r}: {why}. Example: {{'/c/*': '/c/{{category}}'}}.", argument="rules")
