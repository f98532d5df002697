"""The end of a process: its last spans are exported, whichever way the process ends.

``signals`` replaces the default action of SIGTERM and similar signals. ``processes`` knows the ends that
neither a signal nor ``atexit`` announces. ``at_roots`` flushes at the end of each local root. ``providers``
flushes the SDK's global providers.
"""
