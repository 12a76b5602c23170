"""From a plan to a running process: spawn ocirt-init, walk the plan beside it, and word what it reports."""
