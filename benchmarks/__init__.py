"""ocirt beside the runtimes that this machine has, measured in one interleaved run.

run.py        the program: options, isolation, the order of everything
commands.py   runtimes, and one command of theirs measured
bundles.py    the bundle that they all run, and its variants
cases.py      what is measured of each runtime, once
growth.py     how the cost of a run grows with what the configuration asks for
library.py    a process that drives containers by ocirt's library
report.py     measurements -> medians, a table, JSON
plot.py       the same as SVG
docker_like_profile.py   a seccomp profile such as engines hand to a runtime
"""
