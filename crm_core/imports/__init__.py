"""Foreign files in: profile, mapping, dry run, commit, rejected rows."""
