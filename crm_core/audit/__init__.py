"""Who changed what, when and from where: a log that shows when somebody altered it."""
