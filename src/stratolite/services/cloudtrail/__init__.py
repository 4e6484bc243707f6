"""CloudTrail's event history: who did what, on what, and what was decided.

Recorded  every management call at its end and every call that was denied; data events (items, objects, messages,
          invocations: ``events.DATA``) only when switched on (``up --trail-data-events``). Calls of services to each
          other and deliveries are there under their own principals. A call that reaches into another account is in
          the history of both. Calls whose signature was wrong are in nobody's, as on AWS.
Keys      (account, region, cloudtrail)  event/<time, ms>/<stamp> -> the record as JSON
                                         id/<event id> -> JSON [time ms, stamp]
                                         size -> JSON [rows, bytes] of the records
          The record is CloudTrail's, see ``events``; ``eventID`` is the request's id where it is the caller's own.
Written   by ``recorder`` in batches, after the answer and before any sync (``limits.RELAXED``): a crash loses the newest.
          Kept 90 days of the cloud clock and ``TRAIL_SIZE_BYTES_MAX`` an account and region; the oldest go when new
          ones come.
On buses  management calls are events of the default bus, see ``bus``, if a rule there could want them: best effort, as on AWS.
Sources   https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
          https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
Ours      ``additionalEventData`` has ``decision``, ``action`` and, of a denial, ``encodedAuthorizationMessage`` (what
          STS DecodeAuthorizationMessage reads). ``requestParameters`` hide what is secret and leave out bodies.
          LookupEvents sees a call at once; on AWS it takes minutes. Uses of KMS keys count as data events.
Missing   trails to buckets, event data stores, Insights, ``responseElements``: refused by name or left out.
"""

from stratolite.services.cloudtrail.service import Cloudtrail as Cloudtrail
