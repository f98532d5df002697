"""The end of a process: what ended before it leaves, whichever way the process ends.

``signals`` stands in for the default action of SIGTERM and its like, ``processes`` knows the ends
that neither a signal nor ``atexit`` tells of, ``at_roots`` flushes at each local root's end, ``providers`` the SDK's global providers.
"""
