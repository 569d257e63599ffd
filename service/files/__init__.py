"""Files of jobs: where they are, and how a process opens, counts and removes what a job has made,
so that nothing which the job does to its directory leads anywhere else. Standard library only.
"""
