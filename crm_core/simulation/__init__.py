"""A simulated company with known causal effects; always labelled as simulated.

``generate`` writes it as exchange tables, which come in through the same import as a customer's
files. What is true but not on record goes to a sealed folder that nothing else reads. The same
world can be run again under another policy (``policies``, ``policy_files``).
"""

from crm_core.simulation.generation import FolderNotEmpty, Summary, generate
from crm_core.simulation.policy_files import UnknownPolicy
from crm_core.simulation.requests import Request, simulate
from crm_core.simulation.world import SIZES, UnknownSize
from crm_core.simulation.worlds import WORLDS, UnknownWorld

__all__ = [
    "SIZES",
    "WORLDS",
    "FolderNotEmpty",
    "Request",
    "Summary",
    "UnknownPolicy",
    "UnknownSize",
    "UnknownWorld",
    "generate",
    "simulate",
]
