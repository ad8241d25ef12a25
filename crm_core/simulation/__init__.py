"""A simulated company with known causal effects; always labelled as simulated.

``generate`` writes it as exchange tables, which come in through the same import as a customer's
files. What is true but not on record goes to a sealed folder that nothing else reads.
"""

from crm_core.simulation.generation import FolderNotEmpty, Summary, generate
from crm_core.simulation.world import UnknownSize

__all__ = ["FolderNotEmpty", "Summary", "UnknownSize", "generate"]
