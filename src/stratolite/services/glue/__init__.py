"""The Glue Data Catalog, as far as it is a catalog: databases, tables with their versions, partitions.

Stored, all JSON, under (account, region, "glue"); names are folded to lower case, as Hive has them:

    ("database", name)                    -> {made_s, input, tags}
    ("table", database, name)             -> {made_s, changed_s, version, input, by}; ``by`` who made it, an ARN
    ("version", database, table, number)  -> {changed_s, input}: what UpdateTable replaced
    ("partition", database, table, *values) -> {made_s, input}

``input`` is the request's DatabaseInput, TableInput or PartitionInput: data, not looked into but for names and keys.

Files  ``databases`` ``tables`` ``partitions`` operations, one class in ``service``; ``expression`` which partitions
       GetPartitions wants; ``resources`` CloudFormation types

Missing  everything but the catalog (crawlers, jobs, connections, registries ...), catalogs other than the account's own,
         partition indexes, column statistics, functions, open table formats, transactions, SearchTables: refused by
         name. Versions are kept up to ``VERSIONS_MAX`` a table, the oldest go first.

Source  https://docs.aws.amazon.com/glue/latest/webapi/API_Operations.html
"""

from stratolite.services.glue.service import Glue as Glue
