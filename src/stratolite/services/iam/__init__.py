"""IAM: users, groups, roles and what they prove themselves with; the policies that say what they may do.

Keys    (account, "", iam)  role/<name> -> JSON      role-inline/<name>/<policy> -> document text
                            user/<name> -> JSON      role-attached/<name>/<policy arn> -> ""
                            group/<name> -> JSON     (the same for user- and group-)
                            policy/<name> -> JSON with its versions       policy-user/<policy arn>/<kind>/<name> -> ""
                            boundary-user/<policy arn>/<kind>/<name> -> ""
                            user-key/<name>/<access key id> -> ""; the account's root has the name ""
                            user-group/<user>/<group> and group-user/<group>/<user> -> ""
                            instance-profile/<name> -> JSON      role-profile/<role>/<profile> -> ""
                            mfa/<serial number> -> JSON, the seed sealed       user-mfa/<user>/<serial> -> ""
                            login-profile/<user> -> JSON, scrypt of the password   password-policy/"" -> JSON
                            oidc/<arn>, saml/<arn>, server-certificate/<name> -> JSON, private keys sealed
                            signing-certificate/<user>/<id>, ssh-key/<user>/<id> -> JSON
                            used/key/<id>, used/role/<name>, accessed/<kind>/<name>/<service> -> JSON (``usage``)
                            report/"" -> JSON        report-part/<n> -> CSV     alias -> text   preferences/"" -> JSON
                            last-accessed-job/<id>, last-accessed-order/<stamp>, deletion-task/<id>
                            folded/<kind>/<name in lower case>/<name>, folded-all/<kind> -> ""; names differ by more than case
                            count/<kind> -> decimal  organization -> JSON (``state.organization``)
                            stamp -> other bytes after each change (see ``state.memo``)
        ("", "", iam)       key/<access key id> -> JSON, the secret sealed      root-key/<access key id> -> ""
                            alias/<alias> -> account         organization/<id> -> other bytes after each change
                            service-control/<org>/policy/<id>, service-control/<org>/target/<id> -> JSON
Values  the AWS shape of the thing as JSON; documents as the text that was given.
Reads   ``authorize`` answers every call's question, ``context`` has its condition keys; ``credentials`` every signature's.
Files   one mixin a topic: ``service`` roles and users, ``access_keys``, ``account``, ``certificates``, ``groups``,
        ``instance_profiles``, ``last_accessed``, ``linked_roles``, ``login``, ``mfa``, ``providers``, ``simulation``, ``versions``;
        ``access`` what IAM asks of itself, ``principals`` whom a policy may name, ``managed`` AWS's own policies
Unlike AWS  a principal in a policy stays the ARN it was written as and is not tied to the unique id; changes count at once,
        nowhere eventually; nobody logs in with a password; the QR code of an MFA device is not drawn; SimulatePrincipalPolicy
        knows no session policies. 76 of AWS's managed policies are here, as of 2026.
Missing service-specific credentials (their services are not here), delegation requests, ACTION_LEVEL access details,
        organizations' access reports and root sessions, outbound web identity federation: refused by name; why is in
        docs/coverage.md.
Sources https://docs.aws.amazon.com/IAM/latest/APIReference/
"""
