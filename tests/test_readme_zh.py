"""README.zh-CN.md says what README.md says: block by block, the same commands, figures and form."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EN, ZH = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))

CODE = r"`[^`]+`"
TARGET = r"\]\(([^)]*)\)"  # where a link or picture leads
FIGURE = r"@\w+@|(\d+(?:,\d{3})*(?:\.\d+)*)(?: ?(%|[mµu]?s\b|秒))?"
WORDS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "两": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8",
}  # fmt: skip
HAN = "[\u4e00-\u9fff]"
LATIN = r"[A-Za-z][A-Za-z0-9'-]*"
TO_ZH, TO_EN = "[中文](README.zh-CN.md)", "[English](README.md)"


def blocks(text):
    """Headings, paragraphs, list items and table rows, each on one line; fenced code as it is."""
    for piece in re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL):
        if piece.startswith("```"):
            yield piece
        else:
            found = re.split(r"\n\s*\n|\n(?=#+ |\||- |\d+\. )", piece.strip())
            found = (" ".join(block.split()) for block in found if block)
            yield from (b for b in found if b not in (TO_ZH, TO_EN))


def facts(prose):
    """What no translation may change: code spans, figures with their units, links and pictures."""
    plain = re.sub(f"{CODE}|{TARGET}", " ", prose)
    plain = re.sub(rf"{LATIN}|{HAN}", lambda m: WORDS.get(m[0].lower(), m[0]), plain)
    figures = []
    for match in re.finditer(FIGURE, plain):
        number, unit = match.groups("")
        figures.append(number.replace(",", "") + unit.replace("秒", "s") or match[0])
    links = re.findall(r"!?\[(?=[^]]*\]\()", prose)
    return sorted(re.findall(CODE, prose)), sorted(figures), links, re.findall(TARGET, prose)


@cache
def form(block):
    """What a block is, and the facts in it; a table's row cell by cell."""
    if block.startswith("```"):
        return block
    kind = re.match(r"#+ |- |\d+\. |\||", block)[0]
    cells = block.split("|") if kind == "|" else [block[len(kind) :]]
    return kind, [facts(cell) for cell in cells]


@cache
def is_chinese(block):
    """More Chinese characters than Latin words, and no more than four such words in a row."""
    prose = re.sub(rf"{CODE}|{TARGET}|@\w+@", "", block)
    if block.startswith("```") or block == "# minicnn" or not re.search(LATIN, prose):
        return True
    enough = len(re.findall(HAN, prose)) > len(re.findall(LATIN, prose))
    return enough and not re.search(rf"(?:{LATIN}[ ,.;:]+){{4}}{LATIN}", prose)


def differences(en, zh):
    """A line for each block that differs; the first one only where their number does."""
    en, zh = list(blocks(en)), list(blocks(zh))
    pairs = list(zip(en, zh, strict=False))
    found = [f"{a!r} has {form(a)}\n{b!r} has {form(b)}" for a, b in pairs if form(a) != form(b)]
    if len(en) != len(zh):
        found = [f"{len(en)} blocks, but {len(zh)} in Chinese", *found[:1]]
    return found + [f"not in Chinese: {b!r}" for b in zh if not is_chinese(b)]


def test_both_say_the_same():
    assert "\n\n".join(differences(EN, ZH)) == ""


def test_each_leads_to_the_other():
    assert [EN.splitlines()[2], ZH.splitlines()[2]] == [TO_ZH, TO_EN]


def test_chinese_is_spaced_and_punctuated_as_chinese():
    wrong = rf"{HAN}[\w`](?<!{HAN})|[A-Za-z0-9`%]{HAN}|{HAN}[,.;:!?()]|[,;:!?()]{HAN}"
    wrong += r"| (?=[，。：；、（）])|[，。：；、（）] (?!\|)"
    assert [b for b in blocks(ZH) if not b.startswith("```") and re.search(wrong, b)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("61,706", "61,707"), ("30 秒", "30%"), ("八个", "七个"), ("-n 2", "-n 4"), ("![", "["),
     ("|---", "|---|---"), ("`minicnn train --seed 0`", "`minicnn train`"), ("## 结果", "# 结果")],
)  # fmt: skip
def test_a_change_is_seen(old, new):
    assert old in ZH
    assert differences(EN, ZH.replace(old, new, 1))


def test_every_change_of_either_side_is_seen():
    """Each digit, code span and link changed; each block, row, item and line of code left out."""
    for side, text in enumerate((EN, ZH)):
        parts = list(blocks(text))
        for i, part in enumerate(parts):
            lines = part.split("\n")
            edits = ["\n".join(lines[:j] + lines[j + 1 :]) for j in range(len(lines))]
            for m in re.finditer(rf"\d|{CODE}|{TARGET}|@\w+@", part):
                new = str(9 - int(m[0])) if m[0].isdigit() else m[0].swapcase()
                edits.append(part[: m.start()] + new + part[m.end() :])
            for edit in edits:
                edited = "\n\n".join([*parts[:i], edit, *parts[i + 1 :]])
                assert differences(*((edited, ZH), (EN, edited))[side]), edit


def test_a_block_left_in_english_is_seen():
    en, zh = list(blocks(EN)), list(blocks(ZH))
    for i, (a, b) in enumerate(zip(en, zh, strict=True)):
        assert a == b or differences(EN, "\n\n".join([*zh[:i], a, *zh[i + 1 :]])), a
