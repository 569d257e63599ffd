# What the supervisor runs for a command on a cluster, whose job it knows by its name:
#
#   probe SQUEUE USER NAME PROGRAM... STATUS           how it ended, whose srun ended with STATUS
#   signal SQUEUE USER NAME SCANCEL kill|signal NUMBER  send what runs this signal
#   cancel SQUEUE USER NAME SCANCEL                     leave nothing of it; 0 when squeue says so
#
# It is POSIX shell because it runs after every command: an interpreter takes as long to start as
# Slurm to run a short step. `probe` reports a plain end itself, into its standard input, and leaves
# any other to PROGRAM (ending.py), with what it knows: SQUEUE USER NAME STATUS.

verb=$1 squeue=$2 user=$3 name=$4
shift 4
export LC_ALL=C

# A program, where somebody waits: a controller may be slow, or gone.
soon() { timeout -k 1 10 "$@" 2>/dev/null; }

probe() {
    for status in "$@"; do :; done
    # It completes in moments, unless the cluster has an epilog: in less than a question takes.
    for pause in 0 0.02 0.05 0.1 ''; do
        # By `exec`: it runs after every command, and each process more takes a millisecond.
        found=$(exec "$squeue" -h -u "$user" -n "$name" -t all \
            -O 'JobID:|,State:|,exit_code:|,NodeList:|' </dev/null 2>/dev/null)
        case $pause:$found in
        0:*'|COMPLETING|'*) ;;
        [0-9]*'|COMPLETING|'*) sleep "$pause" ;;
        *) break ;;
        esac
    done
    IFS='|'
    # shellcheck disable=SC2086 # to be split
    case $status:$found in
    *'
'*) ;; # more than one line: Slurm has requeued it
    0:*'|COMPLETED|0|'* | [1-9]*'|FAILED|'*)
        set -f -- $found "$@"
        id=$1 code=$3 nodes=$4
        shift 4
        # Without a node it never ran, and what stands there isn't its code.
        if [ -n "$nodes" ]; then
            # Slurm's is a wait status; srun's has one number for a signal and for 128 + n.
            signal=$((code & 127))
            if [ "$signal" = 0 ]; then outcome=$((code >> 8)); else outcome=-$signal; fi
            printf '{"status": %d, "gone": true, "facts": {"SlurmJobID": "%s", "Nodes": "%s"}}' \
                "$outcome" "$id" "$nodes" >&0
            exit 0
        fi
        ;;
    esac
    unset IFS
    exec "$@" "$squeue" "$user" "$name"
}

send() {
    scancel=$1 how=$2 number=$3
    tries=0
    # A command that was just started may not be known to the controller yet, or have no step.
    while [ "$tries" -lt 50 ]; do
        step=$(soon "$squeue" -h -s -u "$user" -o '%j|%i' | sed -n "s/^$name|//p")
        if [ -n "$step" ]; then
            # shellcheck disable=SC2086 # one or more
            soon "$scancel" -Q -s "$number" $step
            exit
        fi
        # What waits has no process: a kill ends the waiting, a mere signal reaches nobody.
        if [ "$how" = kill ]; then
            all=$(soon "$squeue" -h -u "$user" -n "$name" -o %T) || exit 1
            case $all in *PENDING*)
                soon "$scancel" -Q -t PENDING -u "$user" -n "$name"
                all=$(soon "$squeue" -h -u "$user" -n "$name" -o %T)
                [ -n "$all" ] || exit 0
                ;;
            esac
        fi
        tries=$((tries + 1))
        sleep 0.1
    done
    exit 1
}

# srun has a process that asks for the same when it sees srun die. Two requests to end one step that
# arrive while its last process dies make the step's daemon wait for its own watchdog: a minute, and
# the node is drained ("Kill task failed", Slurm 22.05). So ours follows when that is over.
cancel() {
    scancel=$1
    tries=0 seen=0
    while [ "$tries" -lt 50 ]; do
        left=$(soon "$squeue" -h -u "$user" -n "$name" -o %i) || exit 1
        if [ -z "$left" ]; then
            # A client that was killed just now may have asked for it: looked at a second time.
            [ "$seen$tries" = 00 ] || exit 0
        else
            seen=$((seen + 1))
            # shellcheck disable=SC2086 # one or more
            case $seen in
            1) soon "$scancel" -Q -t PENDING $left ;;
            3)
                # Its processes at once: a job that is cancelled gets TERM first, and time.
                for id in $left; do soon "$scancel" -Q -s KILL "$id.0"; done
                soon "$scancel" -Q $left
                ;;
            esac
        fi
        tries=$((tries + 1))
        sleep 0.2
    done
    exit 1
}

case $verb in
probe) probe "$@" ;;
signal) send "$@" ;;
cancel) cancel "$@" ;;
*) exit 2 ;;
esac
