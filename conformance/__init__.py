"""What the runtime spec demands, and what proves it.

musts.toml       every MUST of the spec, with the tests that prove it; coverage.py counts them
run.py           runs the programs of runtime-tools' `validation` folder against any runtime
verdict.py       what the output of such a program means
isolation.py     runs a command in namespaces and cgroups of its own, so that nothing it leaves behind stays
hierarchies.py   the cgroups for that
kernel.py        the system calls for that
"""
