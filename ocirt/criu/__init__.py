"""Checkpoint and restore, by CRIU (criu.org): a container's processes become files, and the files processes.

options.py what a caller may say; request.py what criu is asked for, PURE; rpc.py the form of it, PURE; program.py criu
itself; service.py the conversation with it; images.py what lies in the directories; dump.py and restore.py the two
operations; preparation.py what a restore needs of the host beside criu.
"""
