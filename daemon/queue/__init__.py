"""The spool: the states of jobs on disk, and the only ways between them."""
