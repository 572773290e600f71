"""How well predicted labels agree with the truth: a file is a metric."""
