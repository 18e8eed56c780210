"""The page and the charts: a pure function of findings, figures and facts of the run."""
