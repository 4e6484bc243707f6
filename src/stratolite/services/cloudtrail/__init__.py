"""The trail: who did what, on what, and what was decided; CloudTrail's event history is a part of it.

Recorded  every call at its end, with its principal, action, resource and decision. Of data events (items, objects, messages,
          invocations: ``events.DATA``) a line is kept: time, request id, principal, action, what names the resource,
          decision, error code, source address. In full, with parameters: management calls, whatever was denied, and with
          ``up --trail-data-events`` all. Calls of services to each other and deliveries are there under their own
          principals. A call that reaches into another account is in the trail of both. In nobody's: calls whose signature
          was wrong, as on AWS, a long poll whose client went away, and what one part of the platform asks another.
Keys      (account, region, cloudtrail)  event/<time, ms>/<stamp> -> a whole record as JSON
                                         id/<event id> -> JSON [time ms, stamp]
                                         size -> JSON [rows, bytes] of the records
                                         data/<closed, ms>/<stamp> -> a batch of data events (``batches``)
                                         data-size -> JSON [batches, bytes, ms of the oldest]
          The record is CloudTrail's, see ``events``; ``eventID`` is the request's id where it is the caller's own.
Written   by ``recorder`` four times a second (once, into a bucket), after the answer and before any sync (``limits.RELAXED``): a crash loses the
          newest. Kept 90 days of the cloud clock and ``TRAIL_SIZE_BYTES_MAX`` (data events: ``TRAIL_DATA_SIZE_BYTES_MAX``)
          an account and region; the oldest go when new ones come. What came too fast is counted, and the count stands in the
          trail where the calls are missing.
Read      LookupEvents: management events only, as on AWS. ``stratolite trail``: all (``service.Cloudtrail.trail_page``).
On buses  management calls are events of the default bus, see ``bus``, if a rule there could want them: best effort, as on AWS.
Sources   https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
          https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
          https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html
Ours      ``additionalEventData`` has ``decision``, ``action`` and, of a denial, ``encodedAuthorizationMessage`` (what
          STS DecodeAuthorizationMessage reads). ``requestParameters`` hide what is secret and leave out bodies.
          LookupEvents sees a call at once; on AWS it takes minutes. Uses of KMS keys count as data events.
Missing   trails to buckets, event data stores, Insights, ``responseElements``: refused by name or left out.
"""

from stratolite.services.cloudtrail.service import Cloudtrail as Cloudtrail
