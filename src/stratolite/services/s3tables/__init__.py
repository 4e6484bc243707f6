"""Amazon S3 Tables: table buckets, namespaces and Apache Iceberg tables whose files are objects reached through S3.

    buckets, tables    operations on table buckets and namespaces; on tables and where their metadata is
    settings           policies, encryption, storage class, tags        iceberg    the metadata of a table that is new
    managed            tables that AWS services keep (S3 Metadata's): how they are made and who may write them
    iceberg_rest       the table bucket as an Iceberg REST catalog, at /iceberg
    writing, child     Iceberg's own work (append, replace, expire) done by pyiceberg in a child process
    maintenance, upkeep    files joined, snapshots expired, superfluous files removed: once a day
    names, state       ARNs and faults; the keys        service    all of it as one Service, and its IAM
    resources          CloudFormation types

Stored, all JSON, under (account, region, "s3tables"):

    ("bucket", bucket)                  -> {id, made_s, kind: customer or aws, tags, encryption?, storage?, policy?,
                                            upkeep?}
    ("namespace", bucket, name)         -> {id, made_s, by}
    ("table", bucket, namespace, name)  -> {id, made_s, by, changed_s, changed_by, token, warehouse, metadata?, kind,
                                            encryption, storage, tags, policy?, service?, upkeep?, ran?}
    ("id", bucket, id)                  -> [namespace, name]: the table an ARN means

A table's files are objects of a bucket of its own, ``<uuid>-<...>--table-s3``, which S3 keeps (``s3.table_buckets``) and nobody
lists: GetObject and HeadObject on it ask for s3tables:GetTableData on the table, PutObject and uploads for
s3tables:PutTableData, nothing else is to be had. The metadata's place changes by compare-and-swap with the version token:
one of two writers wins, the other reads again.

The table bucket ``aws-s3`` is made by S3 Metadata. Everybody who may can read it, set policies on it and delete its tables;
only metadata.s3.amazonaws.com makes tables there and writes them.

Not offered, and refused by name: replication, migration from Glue, server access logging, request metrics, record expiration
other than S3 Metadata's own, compaction by sorting, Lake Formation. Files of more than 64 MiB together
are not joined; an unreferenced file goes after both its days at once.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_S3_Tables.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables.html
"""

from stratolite.services.s3tables.service import S3tables as S3tables
