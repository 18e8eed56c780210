"""The bench of the audit: rankings beside those of its peers, calibration, and onset.

A *case* is one data set with wrong labels, of one seed. What is measured on it is its *row*: raw
numbers in a file of their own. Tables and the page are made from rows alone.
"""
