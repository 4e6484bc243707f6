"""An ordered key-value store with serializable transactions over one log.

Knows keys, values, transactions, blobs and work. Does not know AWS, HTTP, or any service.

    tx.get(key)  tx.scan(span)  tx.put(key, value)  tx.delete(key)  tx.stamp()  tx.wait(spans, until_s)
    await db.transact(lambda tx: ...)        db.submit(body, done)
"""

from stratolite.core.database import Database as Database
from stratolite.core.keys import Keyspace as Keyspace
from stratolite.core.keys import Span as Span
from stratolite.core.tx import Tx as Tx
