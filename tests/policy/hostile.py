"""Bodies of 10 MB that could take long, or much memory. `python -m tests.policy.hostile NAME` reads one."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable

from tagspace_lab.policy.text import page_text

__all__ = ["BODIES"]

_SIZE = 10_000_000


def _fill(unit: str) -> str:
    return unit * (_SIZE // len(unit))


def _attributes(numbers: Iterable[int]) -> str:
    return " ".join(f"a{number}=1" for number in numbers)


BODIES: dict[str, Callable[[], str]] = {
    "deep": lambda: _fill("<div>"),
    "deep macros": lambda: _fill('<ac:structured-macro ac:name="info"><ac:rich-text-body>'),
    "deep formats": lambda: _fill("".join(f"<b a={number}>" for number in range(400)) + "</p>" * 500),
    "deep links": lambda: _fill("<a>" + "<div>" * 300 + "</a>" * 300),
    "deep tables": lambda: _fill("<table><tr><td>x"),
    "deep code": lambda: _fill("<pre>x</b>"),
    "deep anything": lambda: _fill("<svg><template><table><select>"),
    "attributes of one tag": lambda: f"<p {_attributes(range(1_000_000))}>x",
    "attributes of many tags": lambda: _fill(f"<p {_attributes(range(550))}>"),
    "attributes of the root": lambda: "".join(f"<html {_attributes(range(i, i + 400))}>" for i in range(0, 10**6, 400)),
    "attributes of the body": lambda: "".join(f"<BODY {_attributes(range(i, i + 400))}>" for i in range(0, 10**6, 400)),
    "one long attribute": lambda: f'<p title="{"A" * _SIZE}">x',
    "quote without end": lambda: _fill('<ac:link ac:x="'),
    "no tag": lambda: "<" * _SIZE,
    "end tags": lambda: _fill("</x><p></div>"),
    "self-closing tags": lambda: _fill("<ac:x/>"),
    "self-closing nothing": lambda: "<ac:x " + _fill("/>"),
    "CDATA without end": lambda: _fill("<![CDATA["),
    "CDATA": lambda: _fill("<![CDATA[<&>]]>"),
    "comment without end": lambda: "<!--" + "-" * _SIZE,
    "entities": lambda: _fill("&lol;"),
    "entities of a DTD": lambda: (
        '<!DOCTYPE x [<!ENTITY a "lol">'
        + "".join(f'<!ENTITY a{number + 1} "{f"&a{number};" * 10}">' for number in range(10))
        + "]>"
        + _fill("<p>&a10;</p>")
    ),
    "nulls": lambda: "\0" * _SIZE,
    "half surrogate pairs": lambda: _fill("\udc80\ud83d"),
    "marks out of order": lambda: _fill("\u0301\u0316\u0345"),
    "signs that decompose": lambda: "\U0001d160" * _SIZE,
    "directions": lambda: _fill("\u202e\u200b"),
    "words": lambda: _fill("x "),
    "lines": lambda: _fill("x\n"),
    "rows": lambda: "<table>" + _fill("<tr><td>x</td><td>y</td></tr>"),
}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    body = BODIES[sys.argv[1]]()
    before = _peak_bytes()
    print(json.dumps({"chars": len(page_text(body)), "peak_bytes": _peak_bytes() - before}))  # noqa: T201
