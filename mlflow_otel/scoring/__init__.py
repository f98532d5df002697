"""MLflow's scorers on a sample of the traces that end in this process.

``sampling``, ``identity`` and ``limits`` are pure rules. ``started`` is one scorer that was started,
``run`` one of its runs, ``subject`` what it judges and ``ended`` a trace of this process as one;
``pool`` has the threads of runs, ``mlflow_adapter`` says what a scorer sees and what it may return;
``scorers`` puts them together and is ``handle.scorers``. `mlflow-otel score` stands on the same parts.
"""
