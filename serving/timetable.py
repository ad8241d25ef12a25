"""What runs when: every job of ours with its name in words and the time it is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from serving.explanations import Words

NIGHT_HOUR = 2
MONDAY = 0


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Every so many minutes, or at a minute of each hour or of one hour (UTC)."""

    minute: int | None = None
    hour: int | None = None
    every: int = 1

    def __str__(self) -> str:
        minute = str(self.minute) if self.minute is not None else f"*/{self.every}"
        return f"{minute} {'*' if self.hour is None else self.hour} * * *"

    def next_after(self, now: dt.datetime) -> dt.datetime:
        """Return when it is due next."""
        moment = now.astimezone(dt.UTC).replace(second=0, microsecond=0)
        while True:
            moment += dt.timedelta(minutes=1)
            if self._is_due(moment):
                return moment

    def _is_due(self, moment: dt.datetime) -> bool:
        if self.hour is not None and moment.hour != self.hour:
            return False
        return moment.minute % self.every == 0 if self.minute is None else (
            moment.minute == self.minute
        )  # fmt: skip


Due = Clockwork | Literal["nightly", "weekly"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A job: its words, when it is due, whether a person may start it.

    ``upkeep`` jobs look every few minutes whether there is work; only their failures are shown.
    """

    due: Due
    words: Words
    upkeep: bool = False


TIMETABLE: Mapping[str, Entry] = {
    "check_health": Entry("nightly", Words("Check the health of the data", "检查数据健康")),
    "settle_outcomes": Entry(
        "nightly", Words("Write down what became of advice", "记录建议的结果")
    ),
    "snapshot_forecasts": Entry(
        "nightly", Words("Freeze the day’s forecast", "冻结当日预测")
    ),
    "refresh_scores": Entry(
        "nightly", Words("Build features and score open deals", "构建特征并为商机评分")
    ),
    "advise": Entry("nightly", Words("Rank the next best actions", "排列下一步最佳行动")),
    "publish_kpis": Entry("nightly", Words("Write down the day’s numbers", "发布当日指标数值")),
    "check_retraining": Entry(
        "weekly", Words("See what training anew would gain", "评估重新训练的收益")
    ),
    "watch_deals": Entry(
        Clockwork(minute=20), Words("Look for slipped and stalled deals", "查找逾期和停滞的商机"),
        upkeep=True,
    ),
    "forget_old_jobs": Entry(
        Clockwork(minute=40, hour=3), Words("Forget jobs of a month ago", "清除一个月前的任务记录"),
        upkeep=True,
    ),
    "schedule_nightly": Entry(
        Clockwork(every=10), Words("Queue the night’s jobs", "安排每晚任务"), upkeep=True
    ),
    "run_processes": Entry(
        Clockwork(), Words("Rules, assignments, reminders", "规则、分配与提醒"), upkeep=True
    ),
    "deliver_webhooks": Entry(Clockwork(), Words("Send webhooks", "发送 Webhook"), upkeep=True),
    "work_on_imports": Entry(
        Clockwork(), Words("Import what was uploaded", "导入已上传的文件"), upkeep=True
    ),
    "retry_stalled": Entry(
        Clockwork(), Words("Take over from workers that died", "接管已停止进程的任务"), upkeep=True
    ),
}  # fmt: skip

NIGHTLY = tuple(name for name, entry in TIMETABLE.items() if entry.due == "nightly")
"""What is queued each night, in this order; they share a lock and so run one after another."""

WEEKLY = tuple(name for name, entry in TIMETABLE.items() if entry.due == "weekly")
"""What is queued after them in the night to Monday."""

BY_HAND = (*NIGHTLY, *WEEKLY)
"""What a person may start."""

UPKEEP = tuple(name for name, entry in TIMETABLE.items() if entry.upkeep)


def cron(name: str) -> str:
    """Return when a job is due, for the queue."""
    due = TIMETABLE[name].due
    assert isinstance(due, Clockwork)
    return str(due)


def of_night(night: dt.date) -> tuple[str, ...]:
    """Return what is queued in the night that ends on a day."""
    return BY_HAND if night.weekday() == MONDAY else NIGHTLY


def night_of(moment: dt.datetime, time_zone: ZoneInfo) -> dt.date:
    """Return the day whose nightly jobs are the last that were due at a moment."""
    return (moment.astimezone(time_zone) - dt.timedelta(hours=NIGHT_HOUR)).date()


def next_due(name: str, *, now: dt.datetime, time_zone: ZoneInfo) -> dt.datetime:
    """Return when a job is due next."""
    due = TIMETABLE[name].due
    if isinstance(due, Clockwork):
        return due.next_after(now)
    day = night_of(now, time_zone) + dt.timedelta(days=1)
    if due == "weekly":
        day += dt.timedelta(days=(MONDAY - day.weekday()) % 7)
    return dt.datetime.combine(day, dt.time(NIGHT_HOUR), tzinfo=time_zone).astimezone(dt.UTC)
