"""A world before its first week, for tests that run the process itself."""

from __future__ import annotations

from crm_core.simulation.accounts import accounts
from crm_core.simulation.arrivals import arrivals
from crm_core.simulation.draws import Draws
from crm_core.simulation.people import organisation
from crm_core.simulation.process import Setting, surroundings
from crm_core.simulation.weeks import weeks_until
from crm_core.simulation.world import World
from tests.crm_core.simulation.companies import UNTIL


def setting_of(world: World, draws: Draws) -> Setting:
    """Return everything that surrounds the deals of a world."""
    weeks = weeks_until(UNTIL, years=world.years)
    org = organisation(world, weeks, draws)
    firms = accounts(world, org, draws)
    return surroundings(world, org, firms, arrivals(world, org, firms, weeks, draws), weeks, draws)
