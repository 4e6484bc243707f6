"""DynamoDB."""

from stratolite.services.dynamodb.service import Dynamodb as Dynamodb
