"""The routes of goals and leaderboards, for the matrix of access."""

from __future__ import annotations

ABOUT_GOALS = {
    ("GET", "/api/v1/goals"),
    ("POST", "/api/v1/goals"),
    ("GET", "/api/v1/goals/{goal_id}"),
    ("POST", "/api/v1/goals/{goal_id}/acts"),
    ("POST", "/api/v1/goals/{goal_id}/commits"),
    ("POST", "/api/v1/goals/{goal_id}/preview"),
    ("POST", "/api/v1/goals/{goal_id}/pass-down"),
    ("GET", "/api/v1/leaves"),
    ("POST", "/api/v1/leaves"),
    ("DELETE", "/api/v1/leaves/{leave_id}"),
    ("GET", "/api/v1/quota-policies/{kind}"),
    ("PUT", "/api/v1/quota-policies/ramp"),
    ("PUT", "/api/v1/quota-policies/season"),
    ("GET", "/api/v1/leaderboards"),
    ("POST", "/api/v1/leaderboards"),
    ("GET", "/api/v1/leaderboards/{leaderboard_id}"),
    ("POST", "/api/v1/leaderboards/{leaderboard_id}/freeze"),
    ("GET", "/leaderboards"),
    ("POST", "/leaderboards"),
    ("GET", "/leaderboards/{leaderboard_id}"),
    ("POST", "/leaderboards/{leaderboard_id}/freeze"),
    ("POST", "/leaves"),
    ("POST", "/leaves/{leave_id}/cancel"),
    ("GET", "/goals"),
    ("POST", "/goals"),
    ("POST", "/goals/acts"),
    ("GET", "/goals/{goal_id}"),
    ("POST", "/goals/{goal_id}/commits"),
    ("GET", "/goals/{goal_id}/pass-down"),
    ("POST", "/goals/{goal_id}/pass-down"),
}
"""Walked in test_goals.py."""
