"""Stage criteria, rules, approvals, alerts, assignment and tasks: how work is steered."""
