"""An independent twin of the one door, by sets in memory; do not edit to make a test pass."""

from __future__ import annotations


def visible(me, users, units, assignments, day):
    """Return the ids whose records ``me`` sees, by brute force over everybody."""
    by_id = {u["id"]: u for u in users}
    if by_id[me]["role"] in ("sales_ops", "finance", "data_scientist", "admin"):
        return set(by_id)
    if by_id[me]["role"] == "rep":
        return {me}

    def climb(start, parent_of):
        path = []
        while start is not None and start not in path:
            path.append(start)
            start = parent_of(start)
        return path

    def places(u):
        mine = [a for a in assignments if a["user_id"] == u]
        if not mine:
            return {by_id[u]["org_unit_id"]} - {None}
        begun = [a for a in mine if a["valid_from"] <= day and a["valid_to"] != a["valid_from"]]
        now = [a for a in begun if a["valid_to"] is None or a["valid_to"] > day]
        if not now and begun and by_id[u]["left_on"] is not None and by_id[u]["left_on"] <= day:
            last = max(a["valid_from"] for a in begun)
            now = [a for a in begun if a["valid_from"] == last]
        return {a["org_unit_id"] for a in now}

    bosses = {u: climb(u, lambda x: by_id[x]["manager_id"]) for u in by_id}
    chain = {u for u in by_id if me in bosses[u]}
    led = {p for u in chain if by_id[u]["role"] in ("manager", "leader") for p in places(u)}
    above = {p: set(climb(p, units.get)) for p in units}
    in_units = {u for u in by_id if any(above[p] & led for p in places(u))}
    superiors = set(climb(by_id[me]["manager_id"], lambda x: by_id[x]["manager_id"]))
    return chain | (in_units - superiors)
