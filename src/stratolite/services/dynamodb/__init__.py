"""DynamoDB: tables, items, expressions, queries, indexes, transactions, time to live.

Keys     ``state`` (what lies where), ``keycode`` (how key attributes become bytes that sort as their values),
         ``table`` (a table's record). Items are stored as the JSON they came in, numbers made canonical, and are
         spliced into answers unparsed; expressions are compiled once per form (``expressions``).
Rules    ``numerals`` numbers, ``values`` attribute values and sizes, ``grammar`` expression syntax,
         ``conditions`` / ``updates`` / ``projections`` what expressions do, ``keyconditions`` what a Query reads,
         ``legacy`` the parameters from before expressions, ``shapes`` the forms of requests, ``schema`` of tables,
         ``capacity`` consumed units.
Changes  ``writes`` one item and all that follows from it; ``streams`` its stream records (read by ``dynamodbstreams``).
PartiQL  ``partiql`` parses statements, ``bound`` takes them apart, ``statements`` carries them out as reads and writes.
Calls    ``items``, ``reading``, ``batches``, ``transactions``, ``tables``, ``policies``,
         ``backups``, ``transfers`` (exports, imports); ``access`` says what IAM must allow;
         ``service`` puts them together.
Follow   ``feeds`` what is left for those who are told of each change, ``following`` tells them: ``destinations`` in Kinesis,
         replicas of ``globaltables``.
Work     ``worker`` (sweeps dropped tables, fills new indexes, trims streams), ``expirer`` (time to live, see ``expiry``),
         ``copying`` (backups and restores, from a table's ``history``), ``carrying`` (exports and imports).
Sources  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
         https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/

How keys sort (a property of ``keycode``, tested over all numbers DynamoDB has): strings by their UTF-8 bytes,
binaries by unsigned bytes, numbers by value:

    zero      80
    positive  C0  E+130  pairs of digits + 1           2 -> C0 82 15,  2.5 -> C0 82 1A,  10 -> C0 83 0B
    negative  40  125-E  101 - (pair + 1), then 66     -2 -> 40 7D 50 66

Different from AWS, knowingly:
- Reads are always consistent, also on global indexes: index rows are written in the item's transaction.
- Tables are ACTIVE at once. A table's throughput is one bucket, not one a partition (``meter``).
- ItemCount and TableSizeBytes are right at once (AWS: every six hours); sizes are those of the JSON.
- A page ends after 1 MB of JSON or 4,000 rows (AWS: 1 MB of item sizes); BatchGetItem answers up to 8 MB.
- ItemCollectionMetrics always gives the smallest range.
- Capacity consumed, and what had to wait, is counted for CloudWatch of tables with limits alone: auto scaling
  (``application-autoscaling``) acts on it. On-demand tables are not measured unless a request asks for it.

Missing, refused by name: encryption by KMS keys (SSESpecification; DescribeTable has no SSEDescription, as with AWS's own key),
Ion and Zstandard, contributor insights, keys of several attributes in indexes, vector indexes, bulk operations; of global
tables the version of 2017, strong consistency, witnesses, replicas of other accounts and overrides of their capacity. What a
replicated table once held stays known by key and time.
"""

from stratolite.services.dynamodb.service import Dynamodb as Dynamodb
