"""The Serverless Application Repository: applications of one account in a region, with versions.

Stored under (account, region, "serverlessrepo"), JSON:

    ("app", name)                         -> {Author, Description, ..., created_s, latest: semantic version or ""}
    ("version", name, a, b, c, pre, text) -> {template: object's key, parameters, capabilities, created_s, source members}
                                             a, b, c: numbers of the version; pre: 0 for a pre-release, 1 for none

Templates are objects in the account's own bucket ``stratolite-serverlessrepo-ACCOUNT-REGION``, made with the first version, so
that a stack is made from them as from any other template.

Sources https://docs.aws.amazon.com/serverlessrepo/latest/devguide/
Missing, refused by name: policies and sharing (an application is its account's own), dependencies' listing.
"""

from stratolite.services.serverlessrepo.service import Serverlessrepo as Serverlessrepo
