"""The Elastic Container Registry, as far as deployment tools ask for it: repositories and their settings, without images.

`cdk bootstrap` makes a repository, `cdk destroy` and `osls remove` ask whether one is there. No image can be pushed
(GetAuthorizationToken is refused by name), so every repository is empty and says so.

Stored under (account, region, "ecr"), JSON:

    ("repository", name) -> {made_s, mutability, exclusions: filters, scan: bool, tags: key -> value, policy: JSON text or "",
                             lifecycle: JSON text or "", token: of the stack's step that made it or null}

Source  https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html
Missing, refused by name: everything about an image's contents (authorization tokens, layers, PutImage, scans, signing,
        replication, pull-through caches, creation templates, registry policies), encryption other than AES256.
        A lifecycle policy is kept and checked for its form; there is nothing that it could expire.
"""

from stratolite.services.ecr.service import Ecr as Ecr
