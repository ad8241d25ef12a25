"""Rules of uniqueness: one thing is in the store once."""

from __future__ import annotations

from decimal import Decimal

from crm_core.health.rule import LAST_ORDERS, ORDER_SOURCES, Rule

UNIQUENESS: tuple[Rule, ...] = (
    Rule(
        id="account_is_unique",
        dimension="uniqueness",
        table="accounts",
        names=("客户没有重复", "An account is in the store once"),
        remedies=("合并重复的客户。", "Merge the duplicates."),
        checked="select count(*) from accounts",
        failing=(
            "select id, 'also ' || other from (select id, first_value(id) over same as other,"
            " row_number() over same as place from accounts window same as (partition by"
            " regexp_replace(lower(name), '[^[:alnum:]]', '', 'g'), coalesce(country, ''),"
            " coalesce(parent_id, '') order by id)) d where d.place > 1"
        ),
        tolerated=Decimal("0.01"),
    ),
    Rule(
        id="contact_is_unique",
        dimension="uniqueness",
        table="contacts",
        names=("联系人邮箱没有重复", "An e-mail address belongs to one contact"),
        remedies=("合并重复的联系人。", "Merge the duplicates."),
        checked="select count(*) from contacts where email is not null",
        failing=(
            "select id, 'also ' || other from (select id, first_value(id) over same as other,"
            " row_number() over same as place from contacts where email is not null"
            " window same as (partition by lower(email) order by id)) d where d.place > 1"
        ),
        tolerated=Decimal("0.01"),
    ),
    Rule(
        id="order_is_unique",
        dimension="uniqueness",
        table="orders",
        names=("订单没有重复录入", "An order is in the store once"),
        remedies=(
            "核对同日、同客户、同产品、同金额的订单。",
            "Look at orders of the same day, account, product and amount.",
        ),
        checked=f"select count(*) from {LAST_ORDERS} where o.status = 'signed'",
        failing=(
            "select id, 'like ' || other from (select o.id, first_value(o.id) over same as other,"
            f" row_number() over same as place from {LAST_ORDERS} where o.status = 'signed'"
            " and o.amount_minor <> 0 window same as (partition by o.account_id, o.ordered_on,"
            " o.product_id, o.amount_minor, o.currency, o.opportunity_id order by o.id)) d"
            " where d.place > 1"
        ),
        tolerated=Decimal("0.02"),
        sources=ORDER_SOURCES,
    ),
)
