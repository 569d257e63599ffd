"""What each property of a body means, for the description of the API.

A property has the same name wherever it means the same, and stands here once. One that means
something else in a schema stands as `Schema.Property`.
"""

from __future__ import annotations

from typing import Final

_BYTES_OF_MEMORY: Final = "Bytes of memory"
_CODE: Final = "The exit code; null before the end, and where a signal ended it."

_OF_JOBS: Final[dict[str, str]] = {
    "ID": "The job's ID.",
    "Name": "A name for people and for lists; jobs may share it.",
    "Labels": "Pairs of text that lists select by.",
    "CommandLine": "What the shell runs; of a container: its arguments.",
    "Commands": "The commands, in the order in which they run.",
    "Environment": "Variables. A command's come after the job's.",
    "WorkingDir": (
        "Where commands run. A relative path is below the job's own directory, that of a command"
        " below the job's."
    ),
    "Timeout": "Seconds after which the job is killed; 0 or null: never.",
    "IdleTimeout": "Seconds without output after which the job is killed; 0 or null: never.",
    "QueueTimeout": "Seconds as `pending` after which the job is killed; 0 or null: never.",
    "Priority": "Which pending job starts first: the one with the higher number.",
    "Grace": "Seconds between the first signal of a kill and KILL; 10 when not given.",
    "OutputLimit": (
        "Bytes of output that are kept, the first and the last half of them; 0 or null: as many as"
        " the service keeps."
    ),
    "Limits": "What the job may use at most.",
    "Hold": "Whether the job stays `pending` until it is released.",
    "Files": "Files that are in the job's directory from the first, by their paths there.",
    "GivenFile.Text": "What is in it, written in UTF-8.",
    "Base64": "What is in it, in base64; it takes the place of `Text`.",
    "Mode": "Its mode, in octal digits; 0644 when not given.",
    "Stdin": "Whether it has a standard input to write to; else its commands read `/dev/null`.",
    "TTY": "The terminal that its commands run in; null: they have none.",
    "Rows": "Lines of the terminal.",
    "Cols": "Columns of the terminal.",
    "Term": "The type of the terminal: `TERM`, unless `Environment` has that.",
    "Terminal.Rows": "Lines of the terminal when the first command starts.",
    "Terminal.Cols": "Columns of the terminal when the first command starts.",
}

_OF_COMMANDS: Final[dict[str, str]] = {
    "Kind": "How the command runs; `bash` when not given.",
    "ContinueOnFailure": "Whether the next command runs whatever the exit code is.",
    "Network": "The network that it has.",
    "BashCommand.Network": (
        "`host`: that of this host; `none`: none, the default where there is a sandbox."
    ),
    "Stderr": "The stream that standard error is logged as; `stdout`: both are one pipe.",
    "Background": (
        "What becomes of processes that it leaves running: `end`: they end with the job; `keep`:"
        " they go on until the job is killed or cleaned."
    ),
    "Shell": "The shell and its options; the command line comes after them.",
    "DockerCommand.Shell": "Whether the image's `sh -c` runs the command line.",
    "Image": "The image as Docker writes it: `[Registry/]Repository[:Tag]`.",
    "Registry": "The host, with a port or without, that has the image.",
    "Repository": "The image's path there; it takes the place of `Image`.",
    "Tag": "The image's tag.",
    "Pull": "When the image is pulled.",
    "Arguments": "The arguments of the container, as they are; they take the place of a line.",
    "Entrypoint": "A program that takes the place of the image's own.",
    "ReadOnly": "Whether the container's own file system can't be written to.",
    "DockerCommand.WorkingDir": (
        "A relative path is below the job's directory, which is `/data` in the container; an"
        " absolute one is a path of the container."
    ),
    "Volumes": "Directories of the host: `/source:/target`, or `/source:/target:ro`.",
    "CPUs": "Processors that may be busy, such as 0.5.",
    "PIDs": "Processes and threads at once.",
    "Memory": f"{_BYTES_OF_MEMORY} and swap.",
    "OpenFiles": "Open descriptors of each process.",
    "Slurm": "What it asks of the cluster.",
    "Partition": "The partition; that of the service, or of the cluster, when not given.",
    "Account": "The account; that of the service, or of its user, when not given.",
    "QOS": "The quality of service.",
    "SlurmRequest.Time": "Seconds that it may take; Slurm rounds up to minutes.",
    "SlurmRequest.CPUs": "Processors of each task.",
    "SlurmRequest.Memory": f"{_BYTES_OF_MEMORY} on each node.",
    "GPUs": "GPUs of the job, `number` or `type:number`.",
    "Nodes": "How many nodes.",
    "Tasks": "How many tasks, each of which runs the command line.",
    "Constraint": "Features that its nodes have.",
    "Options": "Further options of srun, of those that the service allows.",
    "FileSize": "Bytes of any file that a process writes.",
}

_OF_VIEWS: Final[dict[str, str]] = {
    "State": "How it stands.",
    "Reason": "Why the service killed the job; null if it didn't.",
    "ExitCode": _CODE,
    "JobView.ExitCode": f"{_CODE} Of a job: that of the last command that ran.",
    "Signal": "The signal that ended it, or null.",
    "Error": "Why it couldn't start, or couldn't end in the ordinary way; null otherwise.",
    "CreatedAt": "When the job was submitted.",
    "StartedAt": "When it started, or null.",
    "FinishedAt": "When it ended, or null.",
    "Duration": "Seconds from start to end, by a clock that nobody sets; null before the end.",
    "SlurmJobID": "The number of its job in Slurm; null until that is known.",
    "SlurmCommandView.Nodes": "The nodes that it runs on, as Slurm writes them; null before.",
    "Queued": "Why Slurm lets it wait; null unless it does, and in events.",
    "Queued.Reason": "The reason, in Slurm's words.",
    "OOMKilled": "Whether the kernel killed a process for its memory.",
    "JobView.WorkingDir": "The directory where its commands run.",
    "BashCommandView.WorkingDir": "The directory where it runs.",
    "DockerCommandView.WorkingDir": "The directory where it runs.",
    "SlurmCommandView.WorkingDir": "The directory where it runs.",
    "JobView.Environment": "Names of variables; no view has the values.",
    "BashCommandView.Environment": "Names of variables; no view has the values.",
    "DockerCommandView.Environment": "Names of variables; no view has the values.",
    "SlurmCommandView.Environment": "Names of variables; no view has the values.",
    "JobView.Hold": "Whether it waits for a release.",
    "JobView.Files": "The paths of the files that it was submitted with.",
    "JobView.Limits": "What it may use at most; null: unlimited.",
    "Usage": "What it has used, so far while it runs.",
    "Output": "What there is of its output.",
    "Kill": "The receipt of its kill, or of the end of what it had kept, or null.",
    "Left": "Processes that ran on when its last command was over.",
    "WaitingForInput": (
        "Whether a process waits for input of the job, or the terminal doesn't show what is typed;"
        " null where that isn't known, and in lists."
    ),
    "Excerpt": "Both ends of its output, where they were asked for.",
    "JobView.Processes": "Its processes now, where they were asked for; null unless it runs.",
    "Bytes": "Bytes that it has written.",
    "Complete": "False only if bytes may be missing of which `Gaps` doesn't tell.",
    "Exact": (
        "False with a terminal: bytes that were read and not written yet are lost if the supervisor"
        " is killed."
    ),
    "Gaps": "Ranges that were dropped: from, to.",
    "Text": "The bytes of both ends, as text; a mark stands for those between them.",
    "Head": "The offsets of the bytes at the beginning that it has: from, to.",
    "Tail": "The same of those at the end.",
    "Elided": "The same of those between them; null where there are none.",
    "RequestedAt": "When the first request for it came.",
    "KillView.Signal": "The signal of the first request.",
    "Signals": "The signals that were sent, in order, KILL among them where it was.",
    "KillView.Grace": "Seconds between the first signal and KILL, of the request that ends it.",
    "Found": "How many processes there were; null until it is done.",
    "Escalated": "Whether KILL was needed; null until it is done.",
    "VerifiedGone": "Whether all of them were seen gone; null until it is done.",
    "CPUSeconds": "Seconds of processor time.",
    "ProcessView.CPUSeconds": "Seconds of processor time, without those of its children.",
    "PeakMemory": f"{_BYTES_OF_MEMORY}, at most so far; null where nobody can tell.",
    "UsageView.Memory": f"{_BYTES_OF_MEMORY} now; null unless it runs.",
    "Processes": "How many processes there are now; null unless it runs.",
    "PID": "The number of the process.",
    "Parent": "The number of its parent.",
    "Command": "Its arguments, with blanks between: at most 1000 characters.",
    "Kept": "Whether it was left running when the job was over; otherwise it was ended.",
    "LeftView.Command": "The name that the kernel has for it.",
    "ProcessView.Memory": f"{_BYTES_OF_MEMORY} that are resident.",
}

_OF_RESPONSES: Final[dict[str, str]] = {
    "IDs": "The IDs of the jobs of this page.",
    "Total": "How many jobs there are in all pages.",
    "Jobs": "The same jobs in full, where they were asked for.",
    "Next": "What `after` takes for the next page; not there on the last one.",
    "Entries": "What is in the directory, by name.",
    "Unpacked.Entries": "How many files, directories and links there were.",
    "LineView.Line": "The number of the line, from 1; null where the index hasn't come to yet.",
    "LineView.Offset": "The offset of its first byte.",
    "LineView.End": "The offset behind its last byte, the newline.",
    "LineView.Time": "When its first byte came.",
    "LineView.Stream": "The stream of its first byte.",
    "LineView.Command": "The index of the command that wrote its first byte.",
    "LineView.Text": "The line without its newline, where that is UTF-8.",
    "LineView.Data": "The same in base64, where it isn't UTF-8.",
    "LineView.Partial": "Whether it has no newline: it goes on, or the output ends.",
    "LinesView.Lines": "The lines, in their order.",
    "LinesView.Total": "How many lines begin in the first `Indexed` bytes.",
    "LinesView.Begin": "Before this offset other lines follow.",
    "LinesView.End": "From this offset on other lines follow.",
    "LinesView.Size": "Bytes of the output, dropped ones too.",
    "LinesView.Indexed": "Up to which offset lines are numbered by now.",
    "LinesView.Sgr": "Escape sequence of the colours before the first line; null: unknown yet.",
    "LinesView.Gap": "From which offset to before which bytes were dropped; null: none.",
    "LinesView.Finished": "Whether the job has ended, so that there will be no more.",
    "FileEntry.Name": "The name, of a recursive listing the path, for people.",
    "Path": "The path below the listed directory, as it stands in a URL.",
    "Type": "What it is.",
    "Size": "Bytes of a file.",
    "ModifiedAt": "When it was changed last.",
    "FileEntry.Mode": "Its permissions in octal digits.",
    "Credentials.Token": "A token; it is kept nowhere.",
    "Principal": "Who is logged in.",
    "Scopes": "What the token allows, and each includes those before it.",
    "ExpiresAt": "When the login ends by itself.",
    "Killed": "The jobs that were killed.",
    "Killed.ID": "The job's ID, as it was given.",
    "Killed.State": "How the job stands; null when there is no such job.",
    "Signalled.Signal": "The signal that was sent.",
    "Signalled.Processes": "How many processes got it; a container counts as one.",
    "Cleaned": "The IDs of the jobs that were cleaned.",
    "Untouched": "Jobs that were selected, and to which nothing was done.",
    "UntouchedView.State": "How the job stands; null when it is gone.",
    "Why": "Why not.",
    "CheckView.Why": "What is wrong, or what is worth knowing; null: nothing.",
    "Ok": "Whether this is as it should be.",
    "More": "Whether there are more: the same request goes on with them.",
    "Checks": "What was looked at, by name.",
    "Kinds": "Kinds of commands, by name.",
    "Usable": "Whether such commands would run now; null while that isn't known.",
    "KindView.Error": "Why not, or null.",
    "Status": "The answer in a word.",
    "type": "A reference that ends with the error's code.",
    "title": "The kind of error.",
    "status": "The status of the response.",
    "detail": "What was expected, and what came.",
    "errors": "Each error of a body that is no valid job.",
    "pointer": "Where in the body: a JSON pointer (RFC 6901).",
    "gap": "Of an offset in a gap: where the gap begins and ends.",
    "InputTaken.Offset": "How many bytes of input the job's pipe has taken.",
    "offset": "Of input that isn't taken: how much was taken, and where it goes on.",
    "end": "Of a wrong offset: the present end of the output.",
    "checks": "Of a service that isn't ready: what was looked at, by name.",
    "scope": "Of a token without it: the scope that was needed.",
    "path": "Of a file that can't be removed: its path in the job's directory.",
    "why": "Of a file that can't be removed: the reason.",
    "error_id": "Of an error of the service's own: where its log tells more.",
}

MEANINGS: Final[dict[str, str]] = {**_OF_JOBS, **_OF_COMMANDS, **_OF_VIEWS, **_OF_RESPONSES}


def meaning(schema: str, name: str) -> str | None:
    """What this property of the schema of that name means; None: nobody has said it."""
    return MEANINGS.get(f"{schema}.{name}", MEANINGS.get(name))
