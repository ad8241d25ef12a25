"""The metrics of orders, invoices and payments."""

from __future__ import annotations

from crm_core.kpis.metric import AT_ORDER, CREDITED, Metric

_BY_ITS_ORDER = "as the order it belongs to; without one, nobody"

METRICS: tuple[Metric, ...] = (
    Metric(
        id="bookings",
        names=("签约额", "Bookings"),
        formulas=(
            "期内签订的订单金额按业绩分成比例归属后求和;已取消的订单不计。",
            "Sum of the amounts of orders signed in the period, each credited by its shares; "
            "cancelled orders do not count.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="orders",
        event_date="orders.ordered_on",
        credit=CREDITED,
        currency_rule=AT_ORDER,
        none_when=("系统中没有任何订单记录。", "No order is recorded at all."),
    ),
    Metric(
        id="average_deal",
        names=("平均单额", "Average deal"),
        formulas=(
            "签约额 ÷ 归属的订单数(按分成比例计数);金额为零的订单不计。",
            "Bookings ÷ credited number of orders (a half share counts as half an order); orders "
            "of amount zero do not count.",
        ),
        unit="money",
        direction="higher",
        aggregation="average",
        source="orders_not_zero",
        event_date="orders.ordered_on",
        credit=CREDITED,
        currency_rule=AT_ORDER,
        none_when=("期内没有签约订单。", "No order was signed in the period."),
    ),
    Metric(
        id="invoiced",
        names=("开票额", "Invoiced"),
        formulas=(
            "期内开具的发票金额之和,红字发票为负数;按所属订单的业绩分成归属。",
            "Sum of the invoices issued in the period, credit notes negative, each credited "
            "by the shares of its order.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="invoices",
        event_date="invoices.invoiced_on",
        credit=_BY_ITS_ORDER,
        currency_rule="transaction_date: the rate in force on invoiced_on",
        none_when=("系统中没有任何发票记录。", "No invoice is recorded at all."),
    ),
    Metric(
        id="cash_received",
        names=("回款额", "Cash received"),
        formulas=(
            "期内到账的款项之和,退款为负数;按所属订单(或其发票的订单)的业绩分成归属。",
            "Sum of the payments received in the period, refunds negative, each credited by "
            "the shares of its order or of its invoice's order.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="payments",
        event_date="payments.received_on",
        credit=_BY_ITS_ORDER,
        currency_rule="transaction_date: the rate in force on received_on",
        none_when=("系统中没有任何收款记录。", "No payment is recorded at all."),
    ),
    Metric(
        id="gross_margin",
        names=("毛利", "Gross margin"),
        formulas=(
            "期内签订的订单(金额 − 成本)按业绩分成归属后求和;没有成本的订单不计入,另行列出数"
            "量,绝不按零成本计。",
            "Sum of amount − cost of orders signed in the period, each credited by its "
            "shares; an order without a cost is left out and counted apart, never taken as "
            "cost zero.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="margins",
        event_date="orders.ordered_on",
        credit=CREDITED,
        currency_rule=AT_ORDER,
        none_when=(
            "期内签订的订单都没有成本。",
            "Orders were signed in the period, but none has a cost.",
        ),
    ),
    Metric(
        id="new_customers",
        names=("新客户数", "New customers"),
        formulas=(
            "首个已签订单在期内的客户数;流失后重新购买的不算新客户。",
            "Number of accounts whose first signed order ever is in the period; who comes "
            "back is not new.",
        ),
        unit="count",
        direction="higher",
        aggregation="sum",
        source="first_orders",
        event_date="orders.ordered_on of the first",
        credit="the largest revenue share of that first order; without any, its owner",
        currency_rule="none",
        none_when=("系统中没有任何订单记录。", "No order is recorded at all."),
    ),
)
