"""AWS Organizations, as far as decisions need it: accounts in a tree, and service control policies on it.

Without an organization accounts stand alone. In one, what a member account may do is what every level from the root
down to it allows, its root user included; the management account and service-linked roles are not limited. IAM is told
(``iam`` KeepOrganization, KeepServiceControl) in the same transaction, so a change counts from the next call on.
Keys    ("", "", organizations)  member/<account> -> organization's id
                                 organization/<id> -> JSON   node/<org>/<id> -> JSON: root and organizational units
                                 account/<org>/<id> -> JSON  child/<org>/<parent>/<id> -> "ROOT", "ORGANIZATIONAL_UNIT", "ACCOUNT"
                                 policy/<org>/<id> -> JSON   attached/<org>/<target>/<policy> and held/<org>/<policy>/<target> -> ""
                                 creation/<org>/<id> -> JSON handshake/<id> -> JSON  invited/<account>/<id>, inviting/<org>/<id> -> ""
Unlike AWS  an account made here exists at once, and any twelve digits are an account that can be invited; e-mail
        addresses are kept and nothing is sent to them.
Missing policies of other types, delegated administrators, trusted access, closing accounts: refused by name.
Sources https://docs.aws.amazon.com/organizations/latest/APIReference/
        https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
"""

from stratolite.services.organizations.service import Organizations as Organizations
