"""DynamoDB Streams: what changed in a table's items during the last 24 hours, in order.

Keys     ``dynamodb.streams`` writes and reads them: this is the other face of the ``dynamodb`` service, whose tables the
         streams belong to, and the one folder that may import another service's.
Calls    ``service``; ``iterators`` says what a shard iterator holds.
Sources  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
         https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html

Different from AWS, knowingly:
- A stream has one open shard, which is followed by the next after four hours, whatever is written.
- Streams are ENABLED at once, and no rate of calls is too high.
"""

from stratolite.services.dynamodbstreams.service import Dynamodbstreams as Dynamodbstreams
