// What dynamodb-toolbox's guide begins with: an entity put, got, updated and queried.
import assert from 'node:assert'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb'
import {
  Entity, GetItemCommand, PutItemCommand, QueryCommand, Table, UpdateItemCommand,
  item, list, number, string, $add,
} from 'dynamodb-toolbox'

const client = new DynamoDBClient({ endpoint: process.env.ENDPOINT, region: 'us-east-1' })
await client.send(new CreateTableCommand({
  TableName: 'toolbox',
  KeySchema: [{ AttributeName: 'PK', KeyType: 'HASH' }, { AttributeName: 'SK', KeyType: 'RANGE' }],
  AttributeDefinitions: [{ AttributeName: 'PK', AttributeType: 'S' }, { AttributeName: 'SK', AttributeType: 'S' }],
  BillingMode: 'PAY_PER_REQUEST',
}))
const table = new Table({
  name: 'toolbox',
  documentClient: DynamoDBDocumentClient.from(client),
  partitionKey: { name: 'PK', type: 'string' },
  sortKey: { name: 'SK', type: 'string' },
})
const Pokemon = new Entity({
  name: 'Pokemon',
  table,
  schema: item({
    id: string().key().savedAs('PK'),
    name: string().key().savedAs('SK'),
    level: number().default(1),
    moves: list(string()).optional(),
  }),
})
await Pokemon.build(PutItemCommand).item({ id: 'a', name: 'pikachu', moves: ['x'] }).send()
await Pokemon.build(PutItemCommand).item({ id: 'a', name: 'raichu', level: 5 }).send()
await Pokemon.build(UpdateItemCommand).item({ id: 'a', name: 'pikachu', level: $add(2) }).send()
const { Item } = await Pokemon.build(GetItemCommand).key({ id: 'a', name: 'pikachu' }).send()
assert.strictEqual(Item.level, 3)
const { Items } = await table.build(QueryCommand).entities(Pokemon).query({ partition: 'a' }).send()
assert.deepStrictEqual(Items.map((i) => i.name), ['pikachu', 'raichu'])
console.log('ok')
