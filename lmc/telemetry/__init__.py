"""Tracing tools of others: runs as spans of OpenTelemetry, measurements as runs of MLflow."""
