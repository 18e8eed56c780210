"""Where packs are trained: in this process, in one process per core, or on a cluster."""
