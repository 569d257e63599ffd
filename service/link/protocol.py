"""The protocol between service processes and the supervisor of a state directory.

Messages are JSON objects in frames (`service.link.frames`) on the Unix stream socket
`supervisor.sock`. The key `type` says which message one is. Each message is declared once, with
every key: those to the supervisor in `service.link.to_supervisor` and `start`, those from it in
`service.link.from_supervisor` and `job_events`. Writers are checked against these types by mypy,
readers by mypy and at run time (`service.link.validation`).

Connections
1. The supervisor says `hello` as soon as it has accepted; an end of stream before it means that
   this supervisor is about to exit, and the peer starts another.
2. The service process answers with its own `hello`, and its role. A `worker` drives jobs. `main`
   is the main process, which ends all jobs on a shutdown. An `operator` asks for an upgrade.
3. A connection that closes hands its jobs over: each goes by `adopt` to another worker, or to the
   next one that says `hello`. Nothing that runs is disturbed by it.
4. A worker sends a `heartbeat` every few seconds. One that is silent while others are not counts as
   dead, and its connection is closed.

A job
1. `claim` enters it in the register. The reply says whether it has a run slot; otherwise
   `slot_granted` comes later. A claim whose worker dies before the job is stored is adopted by a
   worker that finds no record, and that sends `release`.
   A job that is `held` gets no slot before an `unhold`, which may come from every worker; the event
   `released` tells the worker that drives it.
2. `start` starts a command of a job that has a slot. Nothing replies: the events `started` or
   `refused`, and `ended`, say what happened. The worker stores that it dispatches a command before
   it sends `start`, so a command never runs twice; it sends it again to a supervisor that may not
   have got it, which ignores a repeat.
3. `kill` may come from every worker. The event `kill_requested` comes with the first kill of a job,
   whether a worker asked for it or the supervisor found that a timeout has passed.
4. `signal` may come from every worker, too. It is sent on once, and no event tells of it.
5. `input` may come from every worker, too. The pipe that takes it is the job's, and no
   connection's: what was accepted goes in, whoever is lost meanwhile.
6. The event `finished` comes when no process of the job is left. The slot is free from then on.
7. `release`, once the final record is stored, removes the job from the register. A release of a job
   that runs kills it.
8. A supervisor that ends kills the jobs that run. Those that wait stay pending in the records, for
   the next supervisor: `slot_revoked` says so to the worker of one that had a slot already.

What outlives a job
A job that has ended by itself may have left processes running, those of commands with `keep`: the
event `finished` names them. `end_kept` ends them later, after a restart of the supervisor too. The
supervisor keeps a file for each such job (`service.supervisor.kept`), with the receipt in the end,
until the service process that has stored the receipt removes it.

A drain
`drain` has every `claim` of a new job refused and no `slot_granted` sent, until `resume`; jobs that
have a slot go on, with all of their commands. Workers hear of it by the supervisor's hello and by
`draining_changed`. It outlives the supervisor.

Acknowledgements
Events of a job are numbered by `seq` from 1. The supervisor keeps each until `ack` or `release`
says that it is stored, and sends those that it has kept along with `adopt`. So an event may come
twice, and never out of order; applying one twice changes nothing.

Requests
A message with a `request_id` is answered by one `reply` with the same number. When a connection is
lost before that, the request may or may not have been carried out: all may be sent again but a
claim, which is made with another ID, a `signal`, since programs count signals, and an `input` that
doesn't say at which offset.

Notifications between workers
`publish` says that a job's record has changed; `ack` and `release` may say the same by `state`. The
supervisor sends `job_changed` to all other workers, and to connections that have no role yet: they
may become workers, and read the records before they say so.

What isn't understood
A stream that isn't made of frames is closed. A message of an unknown type, without a required key
or with a wrong value changes nothing and is answered by `rejected`, which says why; the connection
and its jobs stay. A worker takes a message of the supervisor that it doesn't understand for a
`rejected` one as well, and ends the job that it is about: that job can't be driven any more.

Versions
Within one `PROTOCOL`, changes are additive: a key that is not known is ignored, and what an older
supervisor would ignore at a caller's cost is sent only to one that lists it among its
`capabilities`. So newer workers drive an older supervisor; one that is idle is asked to exit by
`exit_if_idle`. Sides with different numbers refuse each other after `hello`, whose keys `type` and
`protocol` never change.
"""

from __future__ import annotations

from typing import Final

# 2: typed messages, with a key `type`.
PROTOCOL: Final = 2
