"""AWS Secrets Manager: secrets with versions and stages, policies, rotation by a function.

Stored under (account, region, "secretsmanager"):

    ("secret", name)            -> JSON {suffix, description, kms, tags, policy, created_s, changed_s, accessed_s, deleted_s, due_s,
                                   rotation, rotated_s, timer, stages, versions, token,
                                   replicas | primary: see ``replicas``}
                                   stages: stage -> version id; versions: id -> {created_s, accessed_s}; deleted_s: marked for
                                   deletion then, gone at due_s; timer: the stamp its pending job of deletion or rotation must carry
    ("value", name, version id) -> the value, sealed (``state.seal``): by the vault, or by a data key that a KMS key seals

Work    secretsmanager.delete  {account, region, name, timer}          a secret whose recovery window has ended
        secretsmanager.rotate  {account, region, name, timer, version, step}  one step of a rotation, then the next
        secretsmanager.due     {account, region, name, timer}          a rotation by the secret's timetable

Files   ``secrets`` the secrets themselves, ``values`` their versions and stages, ``listing``, ``policies``, ``rotation``, ``replicas`` in
        other regions, ``passwords``;
        ``service`` all of them as one Service; ``worker``; ``resources`` CloudFormation types

A secret with a KMS key of one's own is read only by who may decrypt with that key. LastAccessedDate is a day, as on AWS.
A rotation whose function fails stops where it is, AWSPENDING kept; the next one, by timetable or by hand, begins anew.

Missing, refused by name: replicas in other accounts, rotation without a function (managed rotation), external secrets.

Sources https://docs.aws.amazon.com/secretsmanager/latest/apireference/
        https://docs.aws.amazon.com/secretsmanager/latest/userguide/
"""

from stratolite.services.secretsmanager.service import Secretsmanager as Secretsmanager
