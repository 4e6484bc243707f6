"""AWS KMS: keys whose material never leaves the cloud's vault, and what is encrypted, signed and granted with them.

    keys, aliases, policies, rotation, key_grants    the operations on keys       use, signing    those with keys
    imports     key material that somebody brings        regions     keys that are the same in several regions
    specs       key specs and algorithms, as tables             material     making and using key material
    blobs       the form of a ciphertext                        state        the keys and stored formats
    access      which key a request means, its policy and its grants     resources    CloudFormation types

Keys (details in ``state``): under the account and region; key material sealed by ``cloud.vault``. Rotation and the end
of a key that is scheduled for deletion follow the cloud clock and are worked out when the key is looked at; a job
removes the rows. The keys of services (``aws/s3``, ``aws/dynamodb`` ...) come into being when they are first named.

Sources  https://docs.aws.amazon.com/kms/latest/APIReference/
         https://docs.aws.amazon.com/kms/latest/developerguide/

Not offered, and refused by name: custom key stores and external key stores, SM2 and ML-KEM-512 keys, Ed25519ph, when a
key was last used (CloudTrail says it), Nitro enclave attestation (Recipient). ML-DSA and ML-KEM keys need OpenSSL 3.5.

Otherwise than on AWS: a replica key can be used at once (never ``Creating``), a new primary region holds at once (never
``Updating``); an id of imported material is not derived from that material.
"""

from stratolite.services.kms.service import Kms as Kms
