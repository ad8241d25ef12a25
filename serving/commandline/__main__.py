"""Run the command line as ``python -m serving.commandline``: how child processes are started."""

from __future__ import annotations

from serving.commandline.app import main

main()
