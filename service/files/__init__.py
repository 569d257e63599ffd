"""Files of jobs: where they are, and how a process opens, counts and removes what a job has made.
Nothing that the job does to its directory can redirect these to other files. Standard library only.
"""
