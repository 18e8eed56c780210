"""The benchmark of the audit: its ranking beside its peers', its intervals, and its onset.

A *case* is one data set with wrong labels, drawn from one seed. What a *part* of the benchmark
measures on a case is one *row*: raw numbers in a file of their own. The page is made from rows.
"""
