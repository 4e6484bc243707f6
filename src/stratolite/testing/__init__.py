"""A throw-away cloud for tests: a real server on a free port and an empty folder, gone afterwards.

    from stratolite.testing import Cloud

    with Cloud() as cloud:
        cloud.client("s3").create_bucket(Bucket="photos")
        outputs = cloud.deploy("template.yaml")
        cloud.clock.advance("15m")

With pytest nothing needs importing: the fixture ``cloud`` (``testing.plugin``) is a fresh one for every test, or one
for the whole run with ``--cloud-scope session`` (``cloud_scope = session`` in the configuration). While it is there
AWS_ENDPOINT_URL and the keys in the environment lead to it, so code under test needs no change.
"""

from stratolite.testing.cloud import Clock as Clock
from stratolite.testing.cloud import Cloud as Cloud
from stratolite.testing.cloud import Invocation as Invocation
