"""Amazon S3: buckets and objects in the store, large bodies as blobs beside it, websites at a door.

    entry       what every request is checked for          objects, multipart, listing, buckets,
    content     bodies on their way in and out              configuration    the operations, by topic
    state       the keys and stored formats, in full        service          all of them as one Service
    names, conditions, checksums, public, cors, website, grants    pure rules
    access      IAM actions, bucket policies, ACLs          doors            the website endpoint
    notifications, notification_rules, events    who is told what happened to an object, and the telling
    worker      removes what is too much for one transaction   resources     CloudFormation types

Keys (details in ``state``): bucket names in one global namespace; all else under the owner's account and
the bucket's region, in the order S3 lists. Bodies up to 256 KiB lie in the store; larger are blobs, synced
before the transaction that names them. A multipart object is the parts of its upload, never joined.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/API/
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/

Not offered, and refused by name: versioning, lifecycle, replication, object lock, logging,
inventory, analytics and metrics, access points, Select, SSE-KMS and SSE-C, archive storage classes, grants
other than canned ACLs, checksums by MD5 and xxHash, directory buckets.
"""

from stratolite.services.s3.service import S3 as S3
