"""An ordered key-value store with serializable transactions over one log.

Knows keys, values, transactions, blobs and work. Does not know AWS, HTTP, or any service.

    tx.get(key)  tx.scan(span)  tx.put(key, value)  tx.delete(key)  tx.stamp()  tx.wait(spans, until_s)
    await db.transact(lambda tx: ...)        db.submit(body, done)

Beside it: ``work`` (jobs left in a transaction, carried out after it), ``dropping`` (spans nobody needs), ``blobs`` (bytes too large for a value),
``feed`` (the log as a stream of changes), ``vault`` (secrets), ``cloud_clock``. Beneath: ``overlay`` and ``waits``
for the database, ``store`` (the view), ``log`` with ``segments`` and ``objects`` (the truth), ``floors``
(who still needs the past), ``snapshots``, ``keeper`` and ``home`` (opening all of it so that it agrees).
"""

from stratolite.core.database import Database as Database
from stratolite.core.keys import Keyspace as Keyspace
from stratolite.core.keys import Span as Span
from stratolite.core.tx import Tx as Tx
