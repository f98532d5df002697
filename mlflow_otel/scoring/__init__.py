"""MLflow's scorers on a sample of the traces that end in this process.

``sampling``, ``identity`` and ``limits`` are pure rules. ``started`` is one scorer that was started,
``run`` one of its runs over a trace, ``pool`` the threads that runs have, ``mlflow_adapter`` what a
scorer sees and what it may return; ``scorers`` puts them together and is ``handle.scorers``.
"""
