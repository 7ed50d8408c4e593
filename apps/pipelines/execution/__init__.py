"""From a ready row to a closed run: claim, heartbeat, work, commit, release of what comes next, and every repair."""
