"""Rules of completeness: what a record must say."""

from __future__ import annotations

from decimal import Decimal

from crm_core.health.rule import (
    ACTIVITY_SOURCES,
    LAST_ACTIVITIES,
    LAST_ORDERS,
    OPEN_DEALS,
    OPEN_SOURCES,
    ORDER_SOURCES,
    Rule,
)

COMPLETENESS: tuple[Rule, ...] = (
    Rule(
        id="open_deal_has_owner",
        dimension="completeness",
        table="opportunities",
        names=("未关闭的商机有负责人", "An open deal has an owner"),
        remedies=("为这些商机指定负责人。", "Give these deals an owner."),
        checked=f"select count(*) {OPEN_DEALS}",
        failing=f"select id, 'no owner' {OPEN_DEALS} and owner_id is null",
        tolerated=Decimal("0.02"),
        sources=OPEN_SOURCES,
    ),
    Rule(
        id="open_deal_has_amount",
        dimension="completeness",
        table="opportunities",
        names=("未关闭的商机有金额", "An open deal has an amount"),
        remedies=("请负责人填写预计金额。", "Ask the owners for an expected amount."),
        checked=f"select count(*) {OPEN_DEALS}",
        failing=f"select id, 'no amount' {OPEN_DEALS} and amount_minor is null",
        tolerated=Decimal("0.2"),
        sources=OPEN_SOURCES,
    ),
    Rule(
        id="open_deal_has_close_date",
        dimension="completeness",
        table="opportunities",
        names=("未关闭的商机有预计成交日", "An open deal has an expected close date"),
        remedies=("请负责人填写预计成交日。", "Ask the owners for an expected close date."),
        checked=f"select count(*) {OPEN_DEALS}",
        failing=f"select id, 'no expected close date' {OPEN_DEALS} and expected_close_on is null",
        tolerated=Decimal("0.2"),
        sources=(
            "open_deals_due",
            "open_deals_weighted",
            "open_deals_margin",
            "open_deals_new",
            "deals_due_at_start",
        ),  # fmt: skip
    ),
    Rule(
        id="won_deal_has_amount",
        dimension="completeness",
        table="opportunities",
        names=("赢单有金额", "A won deal has an amount"),
        remedies=("补录成交金额。", "Enter the amounts of these deals."),
        checked="select count(*) from opportunities where outcome = 'won'",
        failing=(
            "select id, 'won without an amount' from opportunities"
            " where outcome = 'won' and amount_minor is null"
        ),
        tolerated=Decimal("0.1"),
        sources=("won_deals", "closed_amounts", "won_in_the_year"),
    ),
    Rule(
        id="order_is_credited",
        dimension="completeness",
        table="orders",
        severity="critical",
        names=("订单有归属人", "An order is credited to somebody"),
        remedies=(
            "为订单指定负责人或录入业绩分成。",
            "Give the order an owner, or import its credits.",
        ),
        checked=f"select count(*) from {LAST_ORDERS} where o.status = 'signed'",
        failing=(
            f"select o.id, 'neither owner nor credits' from {LAST_ORDERS}"
            " where o.status = 'signed' and o.owner_id is null"
            " and not exists (select 1 from credits c where c.order_id = o.id)"
        ),
        sources=ORDER_SOURCES,
        blocks=("pay",),
    ),
    Rule(
        id="activity_belongs_somewhere",
        dimension="completeness",
        table="activities",
        names=("活动关联到商机、客户或联系人", "An activity names a deal, account or contact"),
        remedies=("为活动补充关联对象。", "Say with whom these activities were."),
        checked=f"select count(*) from {LAST_ACTIVITIES}",
        failing=(
            f"select a.id, 'names nobody' from {LAST_ACTIVITIES} where a.opportunity_id is null"
            " and a.account_id is null and a.contact_id is null"
        ),
        tolerated=Decimal("0.2"),
        sources=ACTIVITY_SOURCES,
    ),
    Rule(
        id="person_has_a_place",
        dimension="completeness",
        table="users",
        names=("员工在组织中有位置", "A person has a place in the company"),
        remedies=(
            "录入其组织单位或上级;汇总中这些人单列。",
            "Give them an org unit or a manager; roll-ups list them apart until then.",
        ),
        checked=(
            "select count(*) from users where role in ('rep','manager')"
            " and (left_on is null or left_on > :today)"
        ),
        failing=(
            "select u.id, 'neither org unit nor manager' from users u"
            " where u.role in ('rep','manager') and (u.left_on is null or u.left_on > :today)"
            " and u.org_unit_id is null and u.manager_id is null and not exists"
            " (select 1 from assignments s where s.user_id = u.id and s.valid_from <= :today"
            "  and (s.valid_to is null or s.valid_to > :today))"
        ),
        sources=ORDER_SOURCES,
    ),
)
