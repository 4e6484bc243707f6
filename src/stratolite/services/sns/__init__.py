"""SNS: topics standard and FIFO, their subscriptions, and what is published carried to them.

Publishing is one transaction: a job that holds the message. Its worker looks at the topic's subscriptions a
page at a time; messages to queues are sent in the very transaction that settles the page (once, however
often the process dies), what must go elsewhere becomes a job a subscription: at least once. All under
(account, region, "sns"):

    ("topic", name)                   -> JSON record, see ``state.Topic``
    ("subscription", topic, id)       -> JSON record, see ``state.Subscription``; topic: its number
    ("same", topic, protocol, endpoint) -> the id of the subscription
    ("left", topic, id)               -> as in subscription: a web address's, unsubscribed less than two days ago
    ("known", topic, scope, dedup id) -> until ms (8 bytes) | JSON [message id, sequence]
    ("forget", topic, ms, stamp)      -> the key of a "known" row to forget then
    ("archive", topic, ms, stamp)     -> ``publication`` as JSON, its first 1 MiB
    ("archive", topic, ms, stamp, n)  -> what it has from there on, as much a row
    ("slot", topic, id)               -> ms, decimal: when a throttled subscription may get its next message
    ("sms",)                          -> JSON, the account's SMS attributes
    ("opted-out", number)             -> JSON {out: bool, in_ms: when it was last opted in}
    ("sandbox", number)               -> JSON {status, password while it is Pending, verified_ms}
    ("application", PLATFORM/NAME)    -> JSON {attributes}
    ("endpoint", PLATFORM/NAME, id)   -> JSON {token, enabled, data}
    ("device", PLATFORM/NAME, token)  -> the id of the endpoint
    ("outbox", ms, stamp)             -> JSON {channel, to, subject, text, topic, message_id, ms}: email, SMS
                                         and push, which are never sent; ``stratolite outbox`` shows them

and, under ("", "", "sns"), ("signing",) -> JSON {key, sealed, hex; certificate, PEM}: messages are signed as AWS
signs them, with a certificate of this cloud's own, served where SigningCertURL points.

Queues, functions and delivery streams are reached as sns.amazonaws.com for the topic, so their policies must let
it; web addresses by the egress room, retried by the delivery policy on the cloud clock. What cannot be delivered
goes to the subscription's dead-letter queue, if it has one.

Files  ``topics``, ``subscriptions`` with ``attributes`` their rules, ``permissions``; ``publishing`` and ``publication`` what is
       published, ``sealing`` under a key; ``filtering`` filter policies; ``envelopes``, ``signing`` what is delivered; ``fanout`` and
       ``delivery`` the workers; ``replays`` archives; ``outbox``, ``phones`` (opting out, the SMS sandbox), ``push`` (platform applications and endpoints); ``doors`` links in messages.

Publish and PublishBatch need no signature where the topic's policy allows everybody, ConfirmSubscription none without
AuthenticateOnUnsubscribe; every other call does: Subscribe and Unsubscribe, too, but for the link in a message.

Missing  data protection policies, delivery status logging, active tracing: refused by name. Credentials of push platforms are not
checked and not kept, and events of platform applications are not published; no account is in the SMS sandbox. A wrong filter policy is refused without the place
in its text.

Messages of a topic with KmsMasterKeyId are sealed under it from Publish to their delivery, in archives too (``sealing``): who
publishes needs kms:GenerateDataKey and kms:Decrypt, by the key's policy; KMS's refusals come as SNS names them. What was sent
is the receiver's to protect: a queue's messages are sealed if it has a key, mails in the outbox are not.

Source  https://docs.aws.amazon.com/sns/latest/api/ and https://docs.aws.amazon.com/sns/latest/dg/
"""

from stratolite.services.sns.service import Sns as Sns
