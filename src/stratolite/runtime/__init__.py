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

What a sandbox is kept from, as root: files (own root folder, code and system read-only, own /tmp),
processes (own pid namespace), users (own uid, no capabilities, no_new_privs), data beyond its memory size
plus 96 MiB, 1024 descriptors and processes. As an ordinary user only limits, session and no_new_privs hold:
it can read what the server's user can read, the data folder included. NOT guarded in either case: the
network (a function reaches whatever the server's machine reaches, the server's own port among it, where it
may try any keys it can guess), system calls, CPU time, resident memory (data is limited, not residency), and a sandbox is not
frozen between invocations. ``Runtime.guards`` says what holds on this machine.

Every function runs on the server's own Python version, whatever version it asked for.
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
