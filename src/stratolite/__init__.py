"""A serverless cloud on one ordered log: AWS's wire APIs over your own disk or bucket."""

__version__ = "0.1.0"
