"""The table: a customer's row has sk CUSTOMER, each bookmark BOOKMARK#<id>."""

import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
CUSTOMER, BOOKMARK = "CUSTOMER", "BOOKMARK#"


def folder_key(customer_id, folder):
    return f"{customer_id}#{folder}"
