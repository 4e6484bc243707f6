"""IAM: users, roles, access keys and the policies that say what they may do.

Keys    (account, "", iam)  role/<name> -> JSON      role-inline/<name>/<policy> -> document text
                            user/<name> -> JSON      role-attached/<name>/<policy arn> -> ""
                            (the same for user-)     user-key/<name>/<access key id> -> ""
                            policy/<name> -> JSON with its versions
                            group/<name> -> JSON     (inline and attached as for roles)
                            user-group/<user>/<group> and group-user/<group>/<user> -> ""
                            instance-profile/<name> -> JSON      role-profile/<role>/<profile> -> ""
                            mfa/<serial number> -> JSON, the seed sealed       user-mfa/<user>/<serial> -> ""
                            stamp -> other bytes after each change (see ``state.memo``)
                            policy-user/<policy arn>/<kind>/<name> -> ""
        ("", "", iam)       key/<access key id> -> JSON, the secret sealed
Values  the AWS shape of the thing as JSON; documents as the text that was given.
Reads   ``authorize`` answers every call's question; ``credentials`` every signature's.
Sources https://docs.aws.amazon.com/IAM/latest/APIReference/
Not yet login profiles, service-linked roles, account aliases and reports, password policy, access key last
        used, identity providers: refused by name.
"""

from stratolite.services.iam.service import Iam as Iam
