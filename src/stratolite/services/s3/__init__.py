"""Amazon S3: buckets and objects in the store, large bodies as blobs beside it, websites at a door.

    entry       what every request is checked for          buckets, listing    making and listing them
    objects, copying, multipart, deleting, object_marks    operations on objects: bodies, copies, parts, deletes, tags and ACLs
    annotations                 texts beside an object
    configuration, bucket_settings    what is set on a bucket        service    all operations as one Service
    state       the keys and stored formats, in full       versions     which version a request means, what a write keeps
    content     bodies on their way in and out             sealing, encryption, rewrapping    how they are sealed, and with what key
    object_lock, lock_rules     retention and legal holds  archive_rules, restoring    classes that must be restored before reading
    lifecycle, lifecycle_rules  rules carried out over time        replication, replication_rules    into other buckets
    notifications, notification_rules, events    who is told what happened to an object, and the telling
    journal, metadata_tables, metadata_worker, metadata_resources, annotation_table    S3 Metadata: changes to objects as rows of Iceberg tables
    table_buckets               where S3 Tables keeps the files of its tables
    inventory, inventory_columns, inventory_child, access_logs, analysis      reports delivered as objects
    counting    requests as metrics, and what an analysis is made of
    selecting, select_sql, select_expression, select_times, select_child, select_faults    S3 Select
    access, grants, public, points    IAM actions, policies, ACLs, access points       doctor, bodies, repairing    reads everything through and repairs what it can
    names, metadata, conditions, checksums, cors, website    pure rules      doors    the website endpoint
    worker      removes what is too much for one transaction       resources, grant_resources    CloudFormation types

Keys (details in ``state``): bucket names in one global namespace; all else under the owner's account and
the bucket's region, in the order S3 lists. Bodies up to 256 KiB lie in the store; larger are blobs, synced
before the transaction that names them. A multipart object is the parts of its upload, never joined.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/API/
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/

Not offered, and refused by name: MFA delete, grants to email addresses, torrents, Object Lambda,
directory buckets and what only they have (sessions, renaming, appending).

Otherwise than on AWS: a restore is done as soon as it is asked for; intelligent tiering
and acceleration are kept and change nothing one could see; of the request metrics there is no TotalRequestLatency; S3 Select's decimals keep ten digits
behind the point and its timestamps are compared by microseconds;
an object that nobody asked to be encrypted is not (docs/decisions).
"""

from stratolite.services.s3.service import S3 as S3
