"""Which regions there are: as an SDK lists them."""

from __future__ import annotations

import boto3

from stratolite import regions


def test_the_regions_are_those_an_sdk_lists() -> None:
    known = regions.beside("us-east-1")
    assert set(boto3.Session().get_available_regions("dynamodb")) <= known
    assert known.isdisjoint(("aws-global", "xx-nowhere-9", "cn-north-1"))
    assert regions.beside("cn-north-1") == {"cn-north-1", "cn-northwest-1"}


def test_a_region_that_is_none_has_the_others_beside_it() -> None:
    """A request signed for it is answered; what it may name is what a request of ``aws`` may."""
    assert regions.beside("xx-nowhere-9") == regions.beside("us-east-1")
