"""The commands: ekd-run, ekd-sweep, ekd-report."""
