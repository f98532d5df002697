"""Logs and metrics on their way: one thread for what the app need not wait for, one pipeline a signal.

``background`` is the thread. ``pipelines`` are the SDK's providers with our exporters behind them, or the
app's own. ``lazy_pipelines`` opens them when they are first needed. ``attribute_limits`` keeps the values of
metric attributes few.
"""
