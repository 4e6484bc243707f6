"""AWS Systems Manager, its Parameter Store: parameters with versions, labels, paths and secure strings.

Stored under (account, region, "ssm"):

    ("parameter", name)        -> JSON, the newest version and what all versions share: {type, key, description, pattern, tier, data_type,
                                  version, oldest, modified_s, user, value, tags, labels, policies}
                                  value: text; of a SecureString what ``state.sealed`` made of it. labels: label -> version;
                                  policies: see ``policies``
    ("version", name, number)  -> JSON {type, key, description, pattern, tier, data_type, version, modified_s, user, value}

Files   ``parameters`` putting, reading and deleting; ``searching`` by path and by filter; ``labels`` labels and tags; ``policies`` of advanced
        parameters; ``names`` names and faults; ``service`` all of them as one Service; ``worker`` tells EventBridge (ssm.tell) and carries
        policies out (ssm.policy), each at its time and not by a scan now and then as AWS; ``resources`` CloudFormation types

A SecureString without a key of one's own is sealed by the cloud's vault; with one, it is encrypted by AWS KMS under the
parameter's ARN, and read only by who may decrypt with that key. Undecrypted it is answered as ciphertext in base64.

Missing, refused by name: the data types aws:ec2:image and aws:ssm:integration, AWS's public parameters,
and all of Systems Manager that is not the Parameter Store.

Sources https://docs.aws.amazon.com/systems-manager/latest/APIReference/
        https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from stratolite.services.ssm.service import Ssm as Ssm
