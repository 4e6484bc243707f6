"""Amazon S3 Control: S3 Batch Operations (jobs over many objects), access points and access grants.

    jobs, job_rules    creating, describing, steering jobs and what is accepted     tasks    what is done to one object
    batch, manifests, generating   carrying jobs out, a slice at a time, their reports and lists
    points      access points, and the account's public access block
    grants      S3 Access Grants: who gets credentials for which prefix
    tags               of access points, and of buckets as S3 keeps them
    state              the keys and stored formats        service          all operations as one Service

Keys (details in ``state``): under the account and region. A job's work is done in its role's name by calls to S3 and
Lambda that anybody could make; where it stands is kept with each slice, so a restart goes on from there.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_AWS_S3_Control.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops.html

Not offered, and refused by name: composite checksums in S3ComputeObjectChecksum jobs, access points in a VPC (there is none), Object Lambda,
multi-region access points, directory buckets, Outposts, Storage Lens; grants to people of IAM Identity Center.
"""

from stratolite.services.s3control.service import S3control as S3control
