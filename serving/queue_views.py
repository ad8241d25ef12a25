"""What we add to the queue's own tables: how each run went, and what the web may see and do.

The web's role has no right on the queue's tables. It reads two views and calls three functions,
which answer only a transaction whose viewer sees everybody's records (``database.set_scope``).
"""

from __future__ import annotations

import hashlib

from crm_core.database import WEB_ROLE
from serving.leases import SCHEMA
from serving.timetable import BY_HAND

_MAY = "current_setting('winward.everyone', true) = 'on'"
_DEFINED = f"language plpgsql security definer set search_path = {SCHEMA}, pg_temp"
_REFUSED = f"if not coalesce({_MAY}, false) then raise insufficient_privilege; end if;"
_FUNCTIONS = (
    "winward_retry_job(bigint)",
    "winward_cancel_job(bigint)",
    "winward_run_job(text, date)",
)

REMOVED = (
    "drop view if exists winward_jobs",
    "drop view if exists winward_workers",
    *(f"drop function if exists {name}" for name in _FUNCTIONS),
)
"""Taken away before the queue's tables change."""

_RUNS = """
create table if not exists winward_runs (
  job_id bigint not null references procrastinate_jobs (id) on delete cascade,
  attempt integer not null,
  worker text not null,
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  outcome text check (outcome in ('done', 'failed', 'stopped', 'lost')),
  said text not null default '',
  primary key (job_id, attempt)
)
"""

_JOBS = f"""
create view winward_jobs with (security_barrier) as
select j.id, split_part(j.task_name, ':', 2) as name, j.status::text as status, j.args, j.lock,
  j.attempts, j.scheduled_at, j.abort_requested, j.worker_id, w.last_heartbeat,
  e.queued_at, e.started_at, e.ended_at, r.worker, r.outcome, coalesce(r.said, '') as said
from procrastinate_jobs j
left join procrastinate_workers w on w.id = j.worker_id
left join lateral (
  select min(at) filter (where type = 'deferred') as queued_at,
    max(at) filter (where type = 'started') as started_at,
    max(at) filter (where type in ('failed', 'succeeded', 'cancelled', 'aborted')) as ended_at
  from procrastinate_events where job_id = j.id
) e on true
left join lateral (
  select worker, outcome, said from winward_runs where job_id = j.id
  order by attempt desc limit 1
) r on true
where j.task_name like 'winward:%' and {_MAY}
"""  # noqa: S608 - constants of ours

_WORKERS = f"""
create view winward_workers with (security_barrier) as
select w.id, w.last_heartbeat,
  (select count(*) from procrastinate_jobs j where j.worker_id = w.id and j.status = 'doing')
    as running
from procrastinate_workers w where {_MAY}
"""  # noqa: S608 - constants of ours

_RETRY = f"""
create function winward_retry_job(job bigint) returns boolean {_DEFINED} as $$
begin
  {_REFUSED}
  perform 1 from procrastinate_jobs where id = job and status = 'failed' for update;
  if not found then return false; end if;
  perform procrastinate_retry_job_v2(job, now(), null, null, null);
  return true;
end $$
"""

_CANCEL = f"""
create function winward_cancel_job(job bigint) returns boolean {_DEFINED} as $$
begin
  {_REFUSED}
  return procrastinate_cancel_job_v1(job, true, false) is not null;
end $$
"""

_NAMES = ", ".join(f"'{name}'" for name in BY_HAND)
_RUN = f"""
create function winward_run_job(name text, night date) returns bigint {_DEFINED} as $$
begin
  {_REFUSED}
  if name not in ({_NAMES}) then raise insufficient_privilege; end if;
  return (procrastinate_defer_jobs_v1(array[
    row('default', 'winward:' || name, 0, 'facts', name,
        jsonb_build_object('night', night::text), null)::procrastinate_job_to_defer_v1
  ]))[1];
end $$
"""

_RIGHTS = (
    f"grant usage on schema {SCHEMA} to {WEB_ROLE}",
    *(f"grant select on {view} to {WEB_ROLE}" for view in ("winward_jobs", "winward_workers")),
    *(f"revoke all on function {name} from public" for name in _FUNCTIONS),
    *(f"grant execute on function {name} to {WEB_ROLE}" for name in _FUNCTIONS),
)

MADE = (_RUNS, _JOBS, _WORKERS, _RETRY, _CANCEL, _RUN, *_RIGHTS)
"""Made anew after it; what was written down of runs is kept."""


def digest() -> str:
    """Return what identifies these additions."""
    return hashlib.sha256("\n".join((*REMOVED, *MADE)).encode()).hexdigest()[:16]
