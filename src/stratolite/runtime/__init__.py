"""Runs function code in sandboxes: processes forked from a clean zygote, one invocation at a time each.

    runtime = Runtime(folder, world)
    outcome = await runtime.invoke(launch, Invocation(...), starting, listen)

    Launch     what a sandbox of this kind is: whose, which code, how much memory. Sandboxes of one
               ``Launch.key`` are interchangeable; those of one ``owner`` are counted and ended together.
    Outcome    an answer, an error the code raised, or how its process ended (see ``sandbox``)
    Bundles    zip files checked, unpacked once per content, found again by hash (``bundles``)
    Busy       no sandbox may be started now: ask again later

Processes: the server starts one zygote (``zygote``, ``guest/zygote.py``) with an empty environment and
no descriptor but its socket; it forks a sandbox in a few milliseconds. A sandbox reads frames from a
socket of its own (``guest/bootstrap.py`` documents them) and writes output to a pipe. Kill the server and
the zygote goes; kill the zygote and all sandboxes go. Idle sandboxes are reused, last used first, and
end after ``SANDBOX_IDLE_S``, when their owner changes, or to make room.

What a sandbox is kept from, and by what (``Runtime.guards`` has the names that hold on this machine,
``Runtime.missing`` says in one line what does not; it is logged when the first function starts):

    uid, pids, ipc, uts        a user id of its own without capabilities; it sees no process but its own
    mounts, tmp                a root folder with the system and its own code, read-only, and a /tmp of the asked size
    network                    loopback only, and on it one port: the platform, at AWS_ENDPOINT_URL. Root's keys and
                               the default keys are refused there (``Gateway``, ``gateway.listener.serve_sandbox``)
    calls                      no namespaces, mounts, tracing, keyrings, io_uring ... (``guest/calls.py``)
    walls, signals, connects   Landlock: files, signals, abstract sockets, ports (``guest/walls.py``)
    memory                     control groups: memory and processes as a whole, CPU by memory size (``guest/shares.py``)
    limits, no_new_privs, session, dies-with-server

By who the server is (``tests/runtime/test_attacks_as.py`` has each attack's end in each of these):

    root                       everything above
    an ordinary user           the same by a user namespace, but no user id of its own and no control group: limits count for
                               each process apart, 1,024 processes for all sandboxes together
    no namespaces to be had    calls, walls, signals, connects and limits are left (root keeps its user id, without
    (many containers)          capabilities, and has no limit of processes; others 1,024 more than they ran before); what
                               a sandbox forked ends with it; nothing limits what all of /tmp takes: a function reads the
                               system, its code and all of /tmp (unless the data folder is in there), which it shares with
                               everybody; it connects by TCP to the server's port only, but at any address, and the default
                               keys are believed there; no UDP, no UNIX sockets by name (``multiprocessing.Manager`` is one:
                               give it an address); it sees other processes

Ways out where ``network`` holds: the platform at AWS_ENDPOINT_URL, and for functions that ``--egress`` lists something for, an
HTTP proxy that HTTPS_PROXY names (``Runtime.proxy``; who may reach what is the egress room's). Without ``network`` there is no proxy.

``strict`` (``--isolation strict``): a sandbox executes Python anew in its process, 20 to 40 ms more. Else it goes on
from the fork: hash seed and memory layout are the same in all sandboxes of a zygote; random numbers never are.

Our own programs that read what users send (Select's queries, Iceberg tables, inventories, Firehose's records, SAM templates) run in a
``jail``, which leaves them memory, a thread and their pipes: no file, no socket, no program.

Not done: no hard limit on CPU time (shares only), a sandbox is not frozen between invocations. What is asked for /tmp is
memory too and counted together with the function's. With control groups of version 2 a function that is over its memory ends
as a whole, with version 1 process after process (``make cgroup2`` runs the tests under a kernel that has only version 2).
Where it sees no process but its own a function is process 1: what it sends itself by ``kill`` (SIGTERM, SIGSEGV) does nothing unless
it handles it; a real fault ends it as on AWS.

Every Python function runs on the server's own Python version, whatever version it asked for. Other runtimes are programs
(``programs``): the sandbox's own process serves them Lambda's Runtime API (``guest/adapter.py``); Node's loop is ours
(``guest/node.mjs``). Node functions find packages at /var/runtime/node_modules (``Runtime(modules=)``, filled by `stratolite runtime
nodejs`) and, with ``network``, the platform at https://127.0.0.1 by a certificate that only they trust (``Secure``).
"""

from stratolite.runtime.bundles import BadBundle as BadBundle
from stratolite.runtime.bundles import Bundles as Bundles
from stratolite.runtime.pool import Busy as Busy
from stratolite.runtime.pool import Launch as Launch
from stratolite.runtime.pool import Runtime as Runtime
from stratolite.runtime.pool import Start as Start
from stratolite.runtime.sandbox import Ended as Ended
from stratolite.runtime.sandbox import Gateway as Gateway
from stratolite.runtime.sandbox import Invocation as Invocation
from stratolite.runtime.sandbox import Outcome as Outcome
from stratolite.runtime.sandbox import Proxy as Proxy
from stratolite.runtime.sandbox import Secure as Secure
