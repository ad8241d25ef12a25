"""Every feature of the win-rate model, declared once: columns, groups, words, constraints.

``FEATURES`` are the fixed columns. A company's own data add columns by the naming rules of
:func:`feature`: ``source_code`` and ``source_lift`` for a category, ``x_name`` for a number,
date or yes/no field, ``account_x_name`` for one of the account, ``done_call_reached_count`` and
``…_days`` for a frequent kind of activity, ``entered_negotiation_count`` and ``…_days`` for a
stage. Which of them a build has is written beside its Parquet file.

A frame has the columns of ``KEYS``, then ``GROUP_COLUMNS``, then ``WEIGHT``, then features. All
features are float64; what is not known is NaN and never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from crm_core.errors import NotFound
from features.definitions_context import ACCOUNT, CALENDAR, ENGAGEMENT, PEOPLE, REP
from features.definitions_deal import BELIEF, DATES, MOMENTUM, MONEY, PROCESS
from features.feature import Feature, Group, OwnField, Unit

SERVICE = "win_rate_v1"
"""The name of the feature service that the win-rate model reads."""

KEYS = ("entity_id", "as_of")
GROUP_COLUMNS = ("account_id", "owner_id")
WEIGHT = "weight"
"""How many landmarks of the deal this row stands for (the deal's landmarks ÷ those kept)."""
NOT_FEATURES = (*KEYS, *GROUP_COLUMNS, WEIGHT)

GROUPS: tuple[Group, ...] = (
    Group("momentum", "Momentum", "推进势头"),
    Group("engagement", "Engagement", "客户互动"),
    Group("people", "People", "联系人"),
    Group("dates", "Dates", "日期"),
    Group("money", "Money", "金额"),
    Group("account", "Account", "客户"),
    Group("rep", "Owner", "负责人"),
    Group("process", "Process", "流程"),
    Group("calendar", "Season and market", "季节与市场"),
    Group("belief", "The owner's belief", "负责人判断"),
    Group("custom", "Company's own fields", "自定义字段"),
)

FEATURES: tuple[Feature, ...] = (
    *MOMENTUM, *ENGAGEMENT, *PEOPLE, *DATES, *MONEY, *ACCOUNT, *REP, *PROCESS, *CALENDAR, *BELIEF,
)  # fmt: skip

CATEGORIES: dict[str, tuple[str, str, str]] = {
    "source": ("process", "Source", "来源"),
    "product": ("process", "Product", "产品"),
    "product_family": ("process", "Product family", "产品系列"),
    "pipeline": ("process", "Pipeline", "管道"),
    "campaign": ("process", "Campaign", "市场活动"),
    "industry": ("account", "Industry", "行业"),
    "region": ("account", "Region", "地区"),
    "country": ("account", "Country", "国家"),
    "tier": ("account", "Tier", "客户级别"),
}
"""The categories every deal may have: group, English and Chinese name."""

UNDATED = ("product_family",)
"""Categories read as they are today: a product that changes its family changes it for ever."""

ACTIVITY_WORDS = {
    "call": ("call", "通话", "客户来电", "致电客户"),
    "email": ("e-mail", "邮件", "客户来信", "致客户的邮件"),
    "meeting": ("meeting", "会议", "客户约见的会议", "约见客户的会议"),
    "visit": ("visit", "拜访", "客户来访", "拜访客户"),
    "demo": ("demo", "演示", "客户要求的演示", "为客户演示"),
    "proposal": ("proposal", "方案", "客户的方案请求", "发给客户的方案"),
    "note": ("note", "备注", "客户备注", "给客户的备注"),
    "other": ("other activity", "其他活动", "客户发起的其他活动", "面向客户的其他活动"),
}
"""Per kind of activity: English; Chinese without direction, from and to the customer."""

_BY_NAME = {each.name: each for each in FEATURES}


class UnknownFeature(NotFound):
    """A column that no definition and no naming rule describes."""


def feature(name: str, own: Mapping[str, OwnField] | None = None) -> Feature:
    """Return the definition of a column, also of one made from a category or a custom field.

    ``own`` says what the company's own fields (``x_…``, ``account_x_…``) hold and are called,
    so that a yes/no field reads as yes or no. Raises UnknownFeature.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    stem, _, ending = name.rpartition("_")
    is_custom = name.startswith(("x_", "account_x_"))
    if ending in ("code", "lift") and (stem in CATEGORIES or is_custom):
        return _category(name, stem, ending, (own or {}).get(stem))
    if name.startswith(("done_", "entered_")) and ending in ("count", "days"):
        return _signal(name, stem, ending)
    if is_custom:
        return _own(name, (own or {}).get(name))
    raise UnknownFeature(f"There is no feature named {name!r}; see docs/features.md.")


def describe(names: Iterable[str]) -> tuple[Feature, ...]:
    """Return the definitions of columns, in their order. Raises UnknownFeature."""
    return tuple(feature(name) for name in names)


def feature_columns(columns: Iterable[str]) -> list[str]:
    """Return those columns of a frame that are features, in their order."""
    return [column for column in columns if column not in NOT_FEATURES]


def _custom_words(name: str, field: OwnField | None = None) -> tuple[str, str, str]:
    words = name.removeprefix("account_").removeprefix("x_").replace("_", " ")
    en, zh = (field.en, field.zh) if field is not None else (None, None)
    if name.startswith("account_x_"):
        return "custom", f"Account's {en or words}", f"客户的{zh or words}"
    return "custom", en or words[:1].upper() + words[1:], zh or words


def _own(name: str, field: OwnField | None) -> Feature:
    """Return a number, date or yes/no field; a number where the kind is not known."""
    group, en, zh = _custom_words(name, field)
    kind = field.kind if field is not None else "number"
    if kind == "boolean":
        return Feature(
            name, group, "flag", en, zh, f"{_literal(en)}: yes", f"{_literal(zh)}：是",
            zero_en=f"{en}: no", zero_zh=f"{zh}：否",
        )  # fmt: skip
    if kind == "date":
        facts = f"{_literal(en)}: {{value}}", f"{_literal(zh)}：{{value}}"
        return Feature(name, group, "days_until", en, zh, *facts)
    return _custom(name, "number", group, en, zh)


def _literal(words: str) -> str:
    """Return words that stand in a template as they are: a company may write braces."""
    return words.replace("{", "{{").replace("}", "}}")


def _custom(name: str, unit: Unit, group: str, en: str, zh: str) -> Feature:
    facts = f"{_literal(en)} is {{value}}", f"{_literal(zh)}为 {{value}}"
    return Feature(name, group, unit, en, zh, *facts)


def _category(name: str, stem: str, ending: str, field: OwnField | None) -> Feature:
    group, en, zh = CATEGORIES[stem] if stem in CATEGORIES else _custom_words(stem, field)
    undated = stem in UNDATED
    if ending == "code":
        return replace(_custom(name, "code", group, en, zh), undated=undated)
    return Feature(
        name, group, "log_odds", f"{en}: record", f"{zh}的历史赢单情况",
        f"Deals with the same {_literal(en[:1].lower() + en[1:])} had {{value}} times the average "
        "odds",
        f"{_literal(zh)}相同的商机赢单几率是平均的 {{value}} 倍", undated=undated,
    )  # fmt: skip


def _signal(name: str, stem: str, ending: str) -> Feature:
    prefix, _, label = stem.partition("_")
    if prefix == "entered":
        words = label.replace("_", " ")
        group, en, zh = "momentum", f"move into “{words}”", f"进入「{words}」阶段"
    else:
        group, (en, zh) = "engagement", activity_words(label)
    title = en[:1].upper() + en[1:]
    if ending == "count":
        return Feature(
            name, group, "count", f"{title}: times", f"{zh}的次数",
            f"{title}: {{value}} so far", f"{zh}至今 {{value}} 次",
            zero_en=f"No {en} so far", zero_zh=f"尚无{zh}",
        )  # fmt: skip
    return Feature(
        name, group, "days", f"{title}: days since", f"距上次{zh}的天数",
        f"Last {en} {{value}} days ago", f"上次{zh}在 {{value}} 天前",
        missing_en=f"No {en} so far", missing_zh=f"尚无{zh}",
    )  # fmt: skip


def activity_words(label: str) -> tuple[str, str]:
    """Return the English and Chinese words of an activity's label such as ``call_out_reached``.

    A label that starts with no kind we know, or only says "other", is quoted as it stands.
    """
    kind, _, rest = label.partition("_")
    direction, _, result = rest.partition("_")
    if direction not in ("in", "out"):
        direction, result = "", rest
    if kind not in ACTIVITY_WORDS or (kind == "other" and result):
        quoted = (result if kind == "other" else label).replace("_", " ")
        return f"“{quoted}”", f"「{quoted}」"
    en, *zh = ACTIVITY_WORDS[kind]
    en += {"in": " from the customer", "out": " to the customer", "": ""}[direction]
    words = zh[("", "in", "out").index(direction)]
    if not result:
        return en, words
    shown = result.replace("_", " ")
    return f"{en} ({shown})", f"{words}（{shown}）"
