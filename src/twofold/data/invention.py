"""Inventions: titles, texts and categories of things that do not exist, for simulated catalogues."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["invent_items"]

CHINESE = 0.15
"""Share of items with a Chinese title and text."""
SECOND = 0.3
"""Share of items that belong to a second category too."""
UNPRICED = 0.03
FIRST_YEAR, LAST_YEAR = 1990, 2022

ENGLISH = """
amber autumn brave bright broken calm clever cobalt copper crimson curious distant early electric faint final
floating folded forgotten frozen gentle gilded hidden hollow humble idle iron ivory last little lonely lucky
marble midnight misty narrow patient quiet restless rusty scarlet secret shallow silent silver slow sudden
tangled velvet wandering wild winter"""
MANDARIN = "安静的 明亮的 秘密的 漫长的 温柔的 古老的 孤独的 银色的 冬日的 遥远的 勇敢的 破碎的"
ADJECTIVES, CHINESE_ADJECTIVES = ENGLISH.split(), MANDARIN.split()
# A category, nouns for titles, words for texts, and Chinese nouns for both.
LINES = """
Sea: Harbour Lighthouse Tide Anchor Reef Voyage: sailors storm island salt ship waves: 港口 灯塔 海浪
Garden: Orchard Rose Hedge Meadow Seed Gate: soil blossom bees spade pruning herbs: 花园 玫瑰 果树
Night: Moon Comet Owl Star Shadow Eclipse: telescope dark dreams sky sleep dawn: 月亮 星空 影子
Kitchen: Kettle Oven Recipe Ladle Feast Pepper: cooks bread steam spices hunger tables: 茶壶 厨房 面包
Railway: Station Signal Engine Tunnel Ticket Bridge: trains platforms smoke rails delays whistles: 车站 火车 隧道
Mountain: Summit Glacier Ridge Cabin Avalanche Trail: climbers ropes snow altitude goats valleys: 雪山 山谷 小屋
Music: Violin Chorus Rhythm Waltz Drum Melody: orchestras tunes concerts notes practice stages: 小提琴 旋律 乐队
Detective: Alibi Clue Cipher Witness Verdict Motive: murder inspectors suspects evidence police lies: 线索 侦探 证人
Machine: Robot Piston Circuit Gear Automaton Valve: factories wires inventors repair sparks metal: 机器人 齿轮 工厂
Desert: Dune Oasis Caravan Mirage Cactus Well: sand thirst camels heat nomads horizons: 沙漠 绿洲 骆驼
Court: Crown Throne Duel Banquet Heir Minister: kings queens treason palaces guards letters: 王冠 宫殿 皇后
School: Blackboard Exam Teacher Locker Pencil Recess: pupils lessons homework friends bells classrooms: 老师 教室 考试
"""


@dataclass(frozen=True, slots=True)
class _Theme:
    name: str
    nouns: list[str]
    words: list[str]
    chinese: list[str]


def _theme(line: str) -> _Theme:
    name, nouns, words, chinese = line.split(": ")
    return _Theme(name, nouns.split(), words.split(), chinese.split())


THEMES = [_theme(line) for line in LINES.strip().splitlines()]


def invent_items(ids: pl.Series, groups: npt.NDArray[np.integer], rng: np.random.Generator) -> pl.DataFrame:
    """Make up a catalogue.

    Args:
        ids: the items' ids.
        groups: the group of each item, which gives it its words and its first category, shape [n].
        rng: where chance comes from.

    Returns:
        Columns `item`, `title` (no two alike), `text`, `categories`, `year` and `price`; a few prices are null.
    """
    n = len(ids)
    words = [_words(group, picks) for group, picks in zip(groups.tolist(), rng.random((n, 5)).tolist(), strict=True)]
    second = np.where(rng.random(n) < SECOND, rng.integers(0, groups.max(initial=0) + 1, n), groups)
    prices = pl.Series("price", np.exp(rng.normal(2.5, 0.6, n))).round(2)
    return pl.DataFrame(
        {
            "item": ids,
            "title": pl.Series(_distinct([title for title, _ in words]), dtype=pl.String),
            "text": pl.Series([text for _, text in words], dtype=pl.String),
            "categories": pl.Series(
                [
                    [_category(one)] if one == two else [_category(one), _category(two)]
                    for one, two in zip(groups.tolist(), second.tolist(), strict=True)
                ],
                dtype=pl.List(pl.String),
            ),
            "year": rng.integers(FIRST_YEAR, LAST_YEAR + 1, n),
            "price": prices.set(pl.Series(rng.random(n) < UNPRICED), None),
        }
    )


def _category(group: int) -> str:
    again = group // len(THEMES)
    return THEMES[group % len(THEMES)].name + (f" {again + 1}" if again else "")


def _words(group: int, picks: list[float]) -> tuple[str, str]:
    """Return the title and the text of an item of a group; `picks` are random numbers below 1."""
    theme = THEMES[group % len(THEMES)]

    def pick(words: list[str], place: int) -> str:
        return words[int(picks[place] * len(words))]

    if picks[0] < CHINESE:
        noun = pick(theme.chinese, 1)
        other = pick([word for word in theme.chinese if word != noun], 3)
        return f"{pick(CHINESE_ADJECTIVES, 2)}{noun}", f"一个关于{noun}和{other}的故事。"
    noun, first = pick(theme.nouns, 1), pick(theme.words, 3)
    second = pick([word for word in theme.words if word != first], 4)
    text = f"A story of {first} and {second}, with a {noun.lower()} in the middle of it."
    return f"The {pick(ADJECTIVES, 2).capitalize()} {noun}", text


def _distinct(titles: list[str]) -> list[str]:
    """Number the second and later bearers of a title."""
    times: dict[str, int] = {}
    distinct = []
    for title in titles:
        times[title] = times.get(title, 0) + 1
        distinct.append(title if times[title] == 1 else f"{title} {times[title]}")
    return distinct
