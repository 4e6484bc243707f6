"""DynamoDB: tables, items, expressions, queries, indexes, transactions, time to live.

Keys     ``state`` (what lies where), ``keycode`` (how key attributes become bytes that sort as their values),
         ``table`` (a table's record). Items are stored as the JSON they came in, numbers made canonical, and are
         spliced into answers unparsed; expressions are compiled once per form (``expressions``).
Rules    ``numerals`` numbers, ``values`` attribute values and sizes, ``grammar`` expression syntax,
         ``conditions`` / ``updates`` / ``projections`` what expressions do, ``keyconditions`` what a Query reads,
         ``legacy`` the parameters from before expressions, ``shapes`` the forms of requests, ``schema`` of tables,
         ``capacity`` consumed units.
Sealed   ``sealing`` values of tables under KMS keys, ``keyring`` whom their data keys are opened for, ``recasting`` a live table
         put under a key or taken from it.
Changes  ``writes`` one item and all that follows from it; ``streams`` its stream records (read by ``dynamodbstreams``).
PartiQL  ``partiql`` parses statements, ``bound`` takes them apart, ``statements`` carries them out as reads and writes.
Calls    ``items``, ``reading``, ``batches``, ``transactions``, ``tables``, ``policies``,
         ``backups``, ``transfers`` (exports, imports); ``access`` says what IAM must allow;
         ``service`` puts them together.
Follow   ``feeds`` what is left for those who are told of each change, ``following`` tells them: ``destinations`` in Kinesis,
         replicas of ``globaltables``; ``overrides`` what a replica has for itself, ``scaling`` how all are scaled,
         ``strong`` those in which every region has what one was told.
Work     ``worker`` (sweeps dropped tables, fills new indexes, trims streams), ``expirer`` (time to live, see ``expiry``),
         ``copying`` (backups and restores, from a table's ``history``), ``carrying`` (exports and imports; ``sieve`` what of
         a table is exported, ``ion`` one of their formats), ``recasting``.
Sources  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
         https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/

How keys sort (a property of ``keycode``, tested over all numbers DynamoDB has): strings by their UTF-8 bytes,
binaries by unsigned bytes, numbers by value:

    zero      80
    positive  C0  E+130  pairs of digits + 1           2 -> C0 82 15,  2.5 -> C0 82 1A,  10 -> C0 83 0B
    negative  40  125-E  101 - (pair + 1), then 66     -2 -> 40 7D 50 66

Keys of global indexes may have several attributes (four of the hash key, four of the range key): their rows lie under all of
them, one behind another, and attributes of one key share its size limit.

Different from AWS, knowingly:
- Reads are always consistent, also on global indexes: index rows are written in the item's transaction.
- Tables are ACTIVE at once. A table's throughput is one bucket, not one a partition (``meter``).
- ItemCount and TableSizeBytes are right at once (AWS: every six hours); sizes are those of the JSON.
- A page ends after 1 MB of JSON or 4,000 rows (AWS: 1 MB of item sizes); BatchGetItem answers up to 8 MB.
- A filtered export reads the whole table, also where a key condition names one partition; BilledSizeBytes counts as AWS's.
- ItemCollectionMetrics always gives the smallest range.
- Capacity consumed, and what had to wait, is counted for CloudWatch of tables with limits alone: auto scaling
  (``application-autoscaling``) acts on it. On-demand tables are not measured unless a request asks for it.
- Write capacity of a global table is the same in all replicas at any time (AWS: each region's auto scaling lets it float).

- A table under a KMS key is shut within five minutes of the key's end, also to expiry (AWS: it goes on for 30 minutes), and
  not archived after seven days. On the disk the values of key attributes stay readable (docs/decisions/0032). Tables
  that name no KMS key are not encrypted on the disk, and DescribeTable has no SSEDescription of them, as with AWS's own key.
- Bad numbers and sets are worded as AWS worded them in May 2026, before the envelope that some operations got since.

Not offered, refused by name, and why:
- DescribeContributorInsights, ListContributorInsights, UpdateContributorInsights: what they switch on is a rule of CloudWatch
  Contributor Insights, which ``cloudwatch`` does not have; there would be nothing to look at.
- CreateGlobalTable, UpdateGlobalTable, DescribeGlobalTable, ListGlobalTables, DescribeGlobalTableSettings,
  UpdateGlobalTableSettings: version 2017.11.29, which AWS tells its users to leave; replicas are UpdateTable's (2019.11.21).
- SearchVectors and vector indexes: no index here finds what is near.
- StartBulkPutItems, DescribeBulkOperation, ListBulkOperations, CancelBulkOperation: ImportTable makes a table of the same files.
- Of what is offered: replicas of other accounts,
  KMS keys of strongly consistent replicas, disassociation. What a replicated table once held stays known by key and time.
"""

from stratolite.services.dynamodb.service import Dynamodb as Dynamodb
