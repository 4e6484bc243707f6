"""STS: who am I, and temporary credentials.

Keeps nothing: a session is in its token (see ``tokens``), which ends by itself, by the wall clock like every credential.
Files   ``service`` operations; ``sessions`` what a caller may put into one; ``tokens``; ``web_identity`` and ``jwt`` for
        AssumeRoleWithWebIdentity; ``saml`` for AssumeRoleWithSAML
Web identity  a token is believed if an OIDC provider of the role's account names its issuer and audience and one of the
        issuer's keys signed it. Keys come from the issuer's jwks_uri through the egress room, or from the file that
        STRATOLITE_OIDC_KEYS names: JSON {issuer URL: {"keys": [JWK, ...]}}. Where neither has them the answer is AWS's for an
        issuer it cannot reach.
SAML    an assertion is believed if one of the certificates in the metadata of the SAML provider that is named signed it; SHA-1
        and encrypted assertions are refused. Its times are held against the wall clock: they were made outside.
Unlike AWS  the account a role's key ids tell is there (``iam.key_ids``); PackedPolicySize is measured by our own packing.
        An account's root becomes any role of its account that does not deny it, whomever the role trusts: AWS answers "Roles
        may not be assumed by root accounts.", but root is who a local program is until somebody made a user.
Missing AssumeRoot, GetScopedCredentials,
        GetWebIdentityToken, GetDelegatedAccessToken, ProvidedContexts: refused by name; why is in docs/coverage.md.
Sources https://docs.aws.amazon.com/STS/latest/APIReference/
"""

from stratolite.services.sts.service import Sts as Sts
