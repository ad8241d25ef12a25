"""Every message has its Chinese, the formats follow the reader, the choice follows its order."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from crm_core.money import Money
from serving import formats, languages

SERVING = Path(languages.__file__).parent
METHODS = [("**.html", "jinja2"), ("**.py", "python")]
KEYWORDS = {"_": None, "ngettext": (1, 2)}
OPTIONS = {"**.html": {"newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}}
EN, ZH = Locale.parse("en"), Locale.parse("zh_CN")
ZONE = ZoneInfo("Asia/Shanghai")


def used():
    found = {}
    for file, _, message, _, _ in extract_from_dir(
        str(SERVING),
        method_map=METHODS,
        options_map=OPTIONS,
        keywords=KEYWORDS,
    ):
        key = message if isinstance(message, str) else message[0]
        found.setdefault(key, file)
    return found


def chinese():
    with (languages.LOCALES / "zh_CN.po").open("rb") as file:
        return {
            (m.id if isinstance(m.id, str) else m.id[0]): m.string
            for m in read_po(file, locale="zh_CN")
            if m.id
        }


class TestTheCatalogue:
    def test_has_chinese_for_every_message_in_use(self):
        known = chinese()
        missing = sorted(m for m in used() if not any(known.get(m) or ()))
        assert missing == []

    def test_keeps_no_message_that_is_no_longer_used(self):
        assert sorted(set(chinese()) - set(used())) == []

    def test_keeps_every_placeholder(self):
        for message, words in chinese().items():
            for text in [words] if isinstance(words, str) else words:
                for part in ("%(", "winward", "POST"):
                    if part == "%(":
                        names = {p.split(")")[0] for p in message.split("%(")[1:]}
                        given = {p.split(")")[0] for p in text.split("%(")[1:]}
                        assert given <= names | {"n", "days"}, message
                    elif part in message:
                        assert part in text, message

    def test_would_notice_a_missing_one(self):
        assert "no such message in use" not in used()
        assert "Log in" in used()


class TestChoose:
    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({"asked": "zh", "chosen": "en"}, "zh"),
            ({"asked": "xx", "chosen": "zh"}, "zh"),
            ({"personal": "zh-CN", "accepted": "en"}, "zh"),
            ({"accepted": "fr;q=0.9, en;q=0.5, zh-CN;q=0.8"}, "zh"),
            ({"accepted": "fr, en;q=oops"}, "en"),
            ({}, "en"),
        ],
    )
    def test_takes_the_first_known_in_order(self, given, code):
        nothing = {"asked": None, "chosen": None, "personal": None, "accepted": None}
        assert languages.choose(**{**nothing, **given}).code == code


class TestFormats:
    @pytest.mark.parametrize(
        ("style", "english", "chinese"),
        [
            ("whole", "$1,234,568", "US$1,234,568"),
            ("exact", "$1,234,567.89", "US$1,234,567.89"),
            ("compact", "$1.2M", "US$123.5万"),
        ],
    )
    def test_money(self, style, english, chinese):
        amount = Money(123456789, "USD")
        assert formats.money(amount, locale=EN, style=style) == english
        assert formats.money(amount, locale=ZH, style=style) == chinese

    def test_money_knows_each_currency_s_places_and_absence(self):
        assert formats.money(Money(500, "JPY"), locale=EN, style="exact") == "¥500"
        assert formats.money(Money(1500, "BHD"), locale=EN, style="exact") == "BHD1.500"
        assert formats.money(None, locale=EN) == "–"

    @pytest.mark.parametrize(
        ("value", "style", "text"),
        [
            (0.6249, "percent", "62%"),
            (0.004, "percent", "<1%"),
            (0.0, "percent", "0%"),
            (0.997, "percent", ">99%"),
            (1, "percent", "100%"),
            (0.1234, "points", "+12.3"),
            (-0.1234, "points", "−12.3"),
            (1.23456, "decimal", "1.235"),
            (Decimal(1234), "plain", "1,234"),
            (None, "percent", "–"),
        ],
    )
    def test_numbers(self, value, style, text):
        assert formats.number(value, locale=EN, style=style) == text

    def test_times_stand_on_the_company_s_clock(self):
        instant = dt.datetime(2026, 6, 30, 17, tzinfo=dt.UTC)
        assert formats.when(instant, locale=EN, zone=ZONE, style="time") == "1 Jul 2026, 01:00"
        assert formats.when(instant, locale=ZH, zone=ZONE) == "2026年7月1日"
        assert formats.when(dt.date(2026, 6, 30), locale=EN, zone=ZONE) == "30 Jun 2026"
        assert formats.when(None, locale=EN, zone=ZONE) == "–"
