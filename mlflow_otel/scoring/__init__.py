"""MLflow's scorers on a sample of the traces that end in this process.

``sampling``, ``identity`` and ``limits`` are pure rules.
"""
