"""Believable, invented names of people and firms; nobody in particular is meant."""

from __future__ import annotations

from crm_core.simulation.draws import Floats

Person = tuple[str, str]
"""The name as written, and the same in plain Latin letters for an e-mail address."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_GIVEN: dict[str, tuple[str, ...]] = {
    "german": _words(
        "Anna Lukas Katharina Jonas Miriam Felix Sabine Tobias Lena Moritz Julia Stefan"
    ),
    "french": _words("Claire Antoine Camille Hugo Margaux Julien Elise Mathieu Sophie Luc"),
    "english": _words(
        "Emma Oliver Grace Daniel Hannah Marcus Olivia Samuel Chloe Nathan Alice Benjamin "
        "Ruth Dominic Priya Arjun"
    ),
    "spanish": _words("Lucia Mateo Valeria Diego Camila Andres Elena Javier"),
}
_FAMILY: dict[str, tuple[str, ...]] = {
    "german": _words(
        "Keller Brandt Vogel Lindner Hartwig Sommer Reuter Falk Engel Kruse Zimmer Baumann "
        "Ritter Albrecht Thiele Lorenz"
    ),
    "french": _words("Moreau Lefort Girard Chevalier Roussel Perrin Marchand Aubry Colin Baudry"),
    "english": _words(
        "Whitfield Carter Hughes Bennett Sinclair Marlow Ashby Turner Novak Shah Okafor Reid "
        "Lawson Pereira Foster Kowalski Iyer Brennan"
    ),
    "spanish": _words("Ortega Salinas Fuentes Herrera Montoya Rivas Campos Duarte"),
}
_CHINESE_FAMILY = (
    ("李", "li"), ("王", "wang"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"),
    ("赵", "zhao"), ("周", "zhou"), ("吴", "wu"), ("徐", "xu"), ("孙", "sun"), ("林", "lin"),
    ("何", "he"), ("郭", "guo"), ("梁", "liang"), ("沈", "shen"),
)  # fmt: skip
_CHINESE_GIVEN = (
    ("晓雨", "xiaoyu"), ("建国", "jianguo"), ("思远", "siyuan"), ("雅婷", "yating"),
    ("志强", "zhiqiang"), ("静怡", "jingyi"), ("浩然", "haoran"), ("丽华", "lihua"),
    ("子轩", "zixuan"), ("明哲", "mingzhe"), ("雪梅", "xuemei"), ("文博", "wenbo"),
    ("佳琪", "jiaqi"), ("俊杰", "junjie"), ("慧敏", "huimin"), ("天宇", "tianyu"),
)  # fmt: skip
_JAPANESE_FAMILY = _words("Sato Mori Ishida Kobayashi Ueno Hayashi Okada Takagi Nomura")
_JAPANESE_GIVEN = _words("Yuki Haruto Aiko Kenji Naoko Takumi Emi Ryota Mika Shinji")

_STEMS: dict[str, tuple[str, ...]] = {
    "german": _words(
        "Nordhafen Isarwerk Rheintal Alpenquell Hansa Elbtor Bergmann Sturmfeld Lindau Kranich "
        "Weser Donau Falkenried Steinach Oberland Havel Taunus Saale"
    ),
    "french": _words(
        "Valmont Lumière Beaurivage Cévennes Armor Garonne Vercors Montclair Loire Opaline"
    ),
    "english": _words(
        "Ashgrove Northgate Bluewater Pinecrest Harborview Kingsley Redwood Summit Lakeshore "
        "Westbrook Ironbridge Fairfield Granite Silverline Oakmont Clearwater Meridian Beacon "
        "Stonegate Highfield"
    ),
    "spanish": _words("Sierra Costa Nopal Aurora Volcán Laguna Cumbre Altiplano"),
    "japanese": _words(
        "Hikari Asahi-dai Midori Kawasemi Tsubame Hoshino Aozora Yamabuki Minato Shirakaba"
    ),
}
_CHINESE_CITIES = (
    "苏州", "上海", "杭州", "南京", "无锡", "宁波", "深圳", "广州", "东莞", "佛山", "厦门", "合肥",
)  # fmt: skip
_CHINESE_STEMS = (
    "明华", "瑞康", "东方", "海晨", "天立", "中润", "恒远", "华阳", "金桥", "启明", "安泰", "博雅",
    "新源", "宏图", "云帆", "锦程",
)  # fmt: skip
_TRADES = {
    "latin": (
        "Pharma", "Foods", "Chemicals", "Semiconductors", "Motors", "Utilities", "University",
        "Medical",
    ),
    "chinese": ("制药", "食品", "化工", "半导体", "汽车", "水务", "大学", "医疗器械"),
}  # fmt: skip
_LEGAL = {
    "DE": "GmbH", "CH": "AG", "FR": "SA", "NL": "BV", "GB": "Ltd", "US": "Inc.", "CA": "Inc.",
    "MX": "SA de CV", "JP": "K.K.", "SG": "Pte Ltd", "AU": "Pty Ltd",
}  # fmt: skip
_UNIVERSITY = 6


def _at(items: tuple[str, ...], draw: float) -> str:
    return items[int(draw * len(items))]


def person(style: str, first: float, second: float) -> Person:
    """Return an invented person's name from two draws in (0, 1)."""
    if style == "chinese":
        family, latin_family = _CHINESE_FAMILY[int(first * len(_CHINESE_FAMILY))]
        given, latin_given = _CHINESE_GIVEN[int(second * len(_CHINESE_GIVEN))]
        return family + given, f"{latin_given}.{latin_family}"
    if style == "japanese":
        given, family = _at(_JAPANESE_GIVEN, first), _at(_JAPANESE_FAMILY, second)
    else:
        given, family = _at(_GIVEN[style], first), _at(_FAMILY[style], second)
    return f"{given} {family}", f"{given}.{family}".lower()


def firm(style: str, country: str, industry: int, draws: Floats) -> str:
    """Return an invented firm's name; two firms may draw the same one."""
    if style == "chinese":
        city = _at(_CHINESE_CITIES, draws[0])
        stem, trade = _at(_CHINESE_STEMS, draws[1]), _TRADES["chinese"][industry]
        if industry == _UNIVERSITY:
            return f"{city}{stem}{trade}"
        return f"{city}{stem}{trade}有限公司"
    stem = _at(_STEMS[style], draws[0])
    if industry == _UNIVERSITY:
        return f"{stem} University"
    middle = _at(
        ("", " Precision", " Life", " Green", " United", " Advanced", " Central"), draws[1]
    )
    return f"{stem}{middle} {_TRADES['latin'][industry]} {_LEGAL[country]}"


def distinct(names: list[str]) -> list[str]:
    """Return the names with a number added to each that was used before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return result
