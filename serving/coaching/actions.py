"""The playbook: what a rep can do, when it applies, and the fact that says so. Pure.

Every action is of evidence grade C: good practice, not a measured effect. Its expected lift is
the shrunk prior N(0.01, 0.01²) of the win probability (MODELS §4.4) until the company's own
randomised log says more. An action applies when a fact of the record says so; what the company
does not record makes nothing apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from crm_core.advice.situations import Situation
from serving.coaching import rules
from serving.coaching.rules import Finding
from serving.coaching.sentences import Template

Family = Literal["contact", "date", "people", "stage", "account", "value"]

TALK = ("call", "meeting", "visit", "demo")
MEET = ("meeting", "visit", "demo")
REPLY = ("email", *TALK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One rule of the playbook.

    ``urgency`` (0 to 1) is the playbook's own order among actions of like value; it is no
    effect. ``asks_for`` are the kinds of activity by which we notice that it was done.
    """

    id: str
    family: Family
    title: Template
    find: Callable[[Situation], Finding | None]
    reasons: Mapping[str, Template]
    facts: tuple[str, ...]
    effort_minutes: int
    urgency: float
    asks_for: tuple[str, ...]
    grade: Literal["A", "B", "C"] = "C"
    basis: Literal["experiment", "observational", "playbook"] = "playbook"
    prior_mean: float = 0.01
    prior_sd: float = 0.01


ACTIONS: tuple[Action, ...] = (
    Action(
        id="answer_message",
        family="contact",
        title=Template(en="Answer the customer's message", zh="回复客户的消息"),
        find=rules.unanswered,
        reasons={
            "plain": Template(
                en="The customer's message of {date} has waited {days} days for an answer.",
                zh="客户 {date} 的消息已等待回复 {days} 天。",
            )
        },
        facts=("touches",),
        effort_minutes=10,
        urgency=1.0,
        asks_for=("email", *TALK),
    ),
    Action(
        id="make_first_contact",
        family="contact",
        title=Template(en="Make the first contact", zh="进行首次联系"),
        find=rules.untouched,
        reasons={
            "plain": Template(
                en="No activity is recorded since the deal was created {days} days ago.",
                zh="商机创建 {days} 天以来没有任何活动记录。",
            )
        },
        facts=("touches", "created_on"),
        effort_minutes=15,
        urgency=0.9,
        asks_for=("email", *TALK),
    ),
    Action(
        id="break_silence",
        family="contact",
        title=Template(en="Call the customer", zh="致电客户"),
        find=rules.silence,
        reasons={
            "norm": Template(
                en="No two-way contact for {days} days; in won deals at this stage there is one "
                "about every {norm} days.",
                zh="已 {days} 天没有双向沟通;赢单商机在此阶段约每 {norm} 天沟通一次。",
            ),
            "plain": Template(
                en="No two-way contact for {days} days.", zh="已 {days} 天没有双向沟通。"
            ),
            "never": Template(
                en="No two-way contact in the {days} days since the deal was created.",
                zh="商机创建 {days} 天以来没有双向沟通。",
            ),
        },
        facts=("touches", "contact_norm"),
        effort_minutes=15,
        urgency=0.85,
        asks_for=TALK,
    ),
    Action(
        id="resolve_account_problem",
        family="account",
        title=Template(en="Settle the customer's problem first", zh="先解决客户的问题"),
        find=rules.churn_sign,
        reasons={
            "ticket": Template(
                en="A severe ticket of this customer has been open since {date}.",
                zh="该客户有一张严重工单自 {date} 起未关闭。",
            ),
            "rating": Template(
                en="On {date} the customer rated our service {rating}.",
                zh="客户于 {date} 给我们的服务打了 {rating} 分。",
            ),
            "subscription": Template(
                en="The customer's subscription ended on {date} and none is running.",
                zh="客户的订阅已于 {date} 结束,目前没有生效的订阅。",
            ),
            "usage": Template(
                en="The customer's usage fell by {percent} % within four weeks.",
                zh="客户的使用量在四周内下降了 {percent} %。",
            ),
        },
        facts=("signs",),
        effort_minutes=30,
        urgency=0.8,
        asks_for=("email", *TALK),
    ),
    Action(
        id="secure_close_in_period",
        family="date",
        title=Template(
            en="Walk through the closing steps with the buyer", zh="与买方逐项确认签约步骤"
        ),
        find=rules.late_in_period,
        reasons={
            "plain": Template(
                en="The deal is expected to close on {date} and the quarter has {days} days left.",
                zh="商机预计 {date} 成交,而本季度只剩 {days} 天。",
            )
        },
        facts=("expected_close_on", "period_end"),
        effort_minutes=30,
        urgency=0.75,
        asks_for=TALK,
    ),
    Action(
        id="renew_close_date",
        family="date",
        title=Template(en="Agree on a new close date with the buyer", zh="与买方商定新的成交日期"),
        find=rules.overdue,
        reasons={
            "plain": Template(
                en="The expected close date, {date}, passed {days} days ago.",
                zh="预计成交日 {date} 已过去 {days} 天。",
            )
        },
        facts=("expected_close_on",),
        effort_minutes=15,
        urgency=0.7,
        asks_for=REPLY,
    ),
    Action(
        id="meet_exit_criterion",
        family="stage",
        title=Template(en="Settle what the stage still needs", zh="补齐本阶段的缺失条件"),
        find=rules.missing_criterion,
        reasons={
            "plain": Template(
                en="The deal is in stage “{stage}” and {criterion} is not recorded as done.",
                zh="商机处于“{stage}”阶段,但{criterion}尚未记录为完成。",
            )
        },
        facts=("custom", "recorded_fields", "stage_share"),
        effort_minutes=20,
        urgency=0.65,
        asks_for=REPLY,
    ),
    Action(
        id="reach_decision_maker",
        family="people",
        title=Template(en="Reach a decision maker", zh="接触决策人"),
        find=rules.no_senior,
        reasons={
            "plain": Template(
                en="Nobody at director level or above takes part in a deal of {amount}.",
                zh="金额为 {amount} 的商机中没有总监及以上级别的联系人参与。",
            )
        },
        facts=("contacts", "value", "large_from"),
        effort_minutes=45,
        urgency=0.6,
        asks_for=TALK,
    ),
    Action(
        id="widen_contacts",
        family="people",
        title=Template(en="Bring in a second stakeholder", zh="引入第二位关键人"),
        find=rules.single_contact,
        reasons={
            "one": Template(
                en="Only one contact takes part, {days} days after the deal was created.",
                zh="商机创建 {days} 天后仍只有一位联系人参与。",
            ),
            "none": Template(
                en="No contact is recorded on the deal, {days} days after it was created.",
                zh="商机创建 {days} 天后仍没有登记联系人。",
            ),
        },
        facts=("contacts", "created_on"),
        effort_minutes=30,
        urgency=0.55,
        asks_for=REPLY,
    ),
    Action(
        id="check_changed_need",
        family="value",
        title=Template(en="Ask what need fell away", zh="了解哪些需求被取消"),
        find=rules.amount_dropped,
        reasons={
            "plain": Template(
                en="The amount was lowered from {before} to {after} on {date}.",
                zh="金额于 {date} 从 {before} 下调至 {after}。",
            )
        },
        facts=("drop",),
        effort_minutes=20,
        urgency=0.5,
        asks_for=TALK,
    ),
    Action(
        id="ask_why_date_slips",
        family="date",
        title=Template(en="Ask what keeps the date from holding", zh="了解成交日一再推迟的原因"),
        find=rules.slipped_twice,
        reasons={
            "plain": Template(
                en="The close date was moved to a later day {count} times, last on {date}.",
                zh="成交日已推迟 {count} 次,最近一次在 {date}。",
            )
        },
        facts=("slips",),
        effort_minutes=30,
        urgency=0.45,
        asks_for=TALK,
    ),
    Action(
        id="unblock_stage",
        family="stage",
        title=Template(
            en="Agree on the step that leads out of this stage", zh="商定走出本阶段的下一步"
        ),
        find=rules.stalled,
        reasons={
            "plain": Template(
                en="The deal has been in stage “{stage}” for {days} days; three of four won deals "
                "left it within {norm}.",
                zh="商机已在“{stage}”阶段停留 {days} 天;"
                "四分之三的赢单商机在 {norm} 天内离开该阶段。",
            )
        },
        facts=("stage_since", "stage_norm"),
        effort_minutes=45,
        urgency=0.4,
        asks_for=TALK,
    ),
    Action(
        id="hold_meeting",
        family="contact",
        title=Template(en="Arrange a meeting", zh="安排一次会面"),
        find=rules.no_meeting,
        reasons={
            "plain": Template(en="No meeting for {days} days.", zh="已 {days} 天没有会面。"),
            "never": Template(
                en="No meeting in the {days} days since the deal was created.",
                zh="商机创建 {days} 天以来没有会面。",
            ),
        },
        facts=("touches", "created_on"),
        effort_minutes=45,
        urgency=0.35,
        asks_for=MEET,
    ),
)

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}


def applicable(situation: Situation) -> list[tuple[Action, Finding]]:
    """Return the actions that a deal's facts call for, in the playbook's order."""
    if not situation.is_open:
        return []
    found = ((action, action.find(situation)) for action in ACTIONS)
    return [(action, finding) for action, finding in found if finding is not None]


def as_markdown() -> str:
    """Return the playbook as the table of docs/coaching.md; the tests hold them equal."""
    lines = [
        "| action | what it asks | why (an example of its sentence) | minutes | noticed by |",
        "|---|---|---|---|---|",
    ]
    for action in ACTIONS:
        reason = next(iter(action.reasons.values())).en
        lines.append(
            f"| `{action.id}` | {action.title.en} | {reason} | {action.effort_minutes} "
            f"| {', '.join(action.asks_for)} |"
        )
    return "\n".join(lines)
