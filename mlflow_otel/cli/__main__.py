"""``python -m mlflow_otel.cli``."""

import sys

from mlflow_otel.cli import main

sys.exit(main())
