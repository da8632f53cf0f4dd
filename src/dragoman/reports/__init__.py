"""Reports: figures with their uncertainty from a run and a corpus, and reports compared."""
