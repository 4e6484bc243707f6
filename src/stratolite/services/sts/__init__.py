"""STS: who am I, and temporary credentials of a role.

Keeps nothing: a session is in its token (see ``iam.credentials``), which ends by itself.
Sources https://docs.aws.amazon.com/STS/latest/APIReference/
Not yet AssumeRoleWithWebIdentity/SAML, DecodeAuthorizationMessage, SourceIdentity: refused by name.
"""

from stratolite.services.sts.service import Sts as Sts
