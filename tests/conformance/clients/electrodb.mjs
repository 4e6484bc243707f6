// What ElectroDB's guide begins with: a single-table entity with an index, written and queried.
import assert from 'node:assert'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Entity } from 'electrodb'

const client = new DynamoDBClient({ endpoint: process.env.ENDPOINT, region: 'us-east-1' })
const keys = (pk, sk) => [{ AttributeName: pk, KeyType: 'HASH' }, { AttributeName: sk, KeyType: 'RANGE' }]
await client.send(new CreateTableCommand({
  TableName: 'electro',
  KeySchema: keys('pk', 'sk'),
  AttributeDefinitions: ['pk', 'sk', 'gsi1pk', 'gsi1sk'].map((n) => ({ AttributeName: n, AttributeType: 'S' })),
  BillingMode: 'PAY_PER_REQUEST',
  GlobalSecondaryIndexes: [{ IndexName: 'gsi1', KeySchema: keys('gsi1pk', 'gsi1sk'), Projection: { ProjectionType: 'ALL' } }],
}))
const Task = new Entity({
  model: { entity: 'task', version: '1', service: 'app' },
  attributes: {
    team: { type: 'string', required: true },
    id: { type: 'string', required: true },
    status: { type: ['open', 'closed'], default: 'open' },
    points: { type: 'number', default: 1 },
    tags: { type: 'set', items: 'string' },
  },
  indexes: {
    byTeam: { pk: { field: 'pk', composite: ['team'] }, sk: { field: 'sk', composite: ['id'] } },
    byStatus: {
      index: 'gsi1', pk: { field: 'gsi1pk', composite: ['status'] }, sk: { field: 'gsi1sk', composite: ['team', 'id'] },
    },
  },
}, { client, table: 'electro' })
await Task.put([{ team: 'green', id: '1', tags: ['x'] }, { team: 'green', id: '2' }, { team: 'blue', id: '3' }]).go()
await Task.patch({ team: 'green', id: '2' }).set({ status: 'closed' }).add({ points: 4 }).go()
const team = await Task.query.byTeam({ team: 'green' }).go()
assert.deepStrictEqual(team.data.map((t) => [t.id, t.status, t.points]), [['1', 'open', 1], ['2', 'closed', 5]])
const open = await Task.query.byStatus({ status: 'open' }).go()
assert.strictEqual(open.data.length, 2)
await Task.delete({ team: 'blue', id: '3' }).go()
assert.strictEqual((await Task.scan.go()).data.length, 2)
console.log('ok')
