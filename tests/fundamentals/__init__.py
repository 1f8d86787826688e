"""Eight short stories about what a store of jobs promises, to be read in order."""
