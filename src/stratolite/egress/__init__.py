"""Everything that leaves: requests of the platform to addresses that users gave it, and functions' way out.

    egress = Egress(world, ["10.0.0.7:8080", "thumbs=api.example.com"])
    answer = await egress.request("POST", "https://hooks.example.com/x", [("content-type", "text/plain")], b"hi",
                                  timeout_s=15, answer_bytes_max=64 << 10)

    Egress     resolves a name once and connects to the very address it judged (``room``); never by a proxy of
               the environment. A connection is one request; TLS is 1.2 or newer, always verified, for the name asked for
    Answer     status, headers as they came (names in lower case), body
    Refused    may not be reached from here, whoever asks again        ] all ``Failed``: services
    Failed     unreachable, too slow, too large or not HTTP: see ``why`` ] answer their own way
    Rules      what ``--egress`` lists (``rules``), on top of ``addresses``: which addresses are public
    proxy.Proxy    the HTTP proxy that sandboxes get; imported where ``--egress`` asks for it, since h11 takes a tenth of a start

Who may reach what, unless ``--egress`` says more:

    the platform's deliveries   public addresses on any port but 25, and this cloud's own endpoint, as a stranger:
                                there no key of root's is believed (``Egress.own``)
    functions                   nothing; with rules, what the rules list. This cloud they reach by another way

Always refused, listed or not: link-local addresses and other places where clouds keep their machines' credentials,
multicast, broadcast, "this network", and this server's own port by the network.

A redirect is an answer like any other unless ``redirects_max`` is given; each step is then judged as the first.
Bounds (``limits``): ``EGRESS_*``. An answer's body is not decompressed. HTTP/1.1 is ``h11``'s
(``exchange``).

Not done: HTTP/2, client certificates, pooled connections, IPv6 zone ids.
"""

from stratolite.egress.answer import Answer as Answer
from stratolite.egress.failed import Failed as Failed
from stratolite.egress.failed import Refused as Refused
from stratolite.egress.room import Egress as Egress
from stratolite.egress.room import Own as Own
from stratolite.egress.rules import BadRule as BadRule
from stratolite.egress.rules import Rules as Rules
